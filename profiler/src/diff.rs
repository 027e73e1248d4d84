//! Two snapshots compared, site by site. In: two folded snapshots. Out: rows with growth and its
//! interval, as sampling allows. Drawing them is left to others. Pure.
