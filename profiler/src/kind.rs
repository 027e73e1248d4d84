//! What a site holds, told by the names of the functions on its stack. In: frames. Out: one of
//! the seven words of `record`. The census of a process, where there is one, knows better and is
//! asked by others. Pure.
