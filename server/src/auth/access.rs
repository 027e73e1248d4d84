//! Who may do what: the one place that decides, for REST and for sockets.
//! In: who somebody is, what they want, and the room as they see it. Out: yes, or why not. Pure.
//! Leaves to others: finding out who somebody is (`token`), and what the room is (`store`).

use super::Identity;
use crate::store::{Role, RoomView, UserId};

/// Who wants something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who<'a> {
    /// None for a guest.
    pub(crate) identity: Option<&'a Identity>,
    /// Guests may come.
    pub(crate) open: bool,
}

/// What somebody wants to do in a room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Read what is said, and be told of it.
    See,
    /// Say something.
    Speak,
    /// Become a member.
    Join,
    /// Change its title and whether it is public, or remove it.
    Change,
    /// Let others in, put them out, give them roles.
    Admit,
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Denied {
    /// They have not said who they are.
    #[error("this is for accounts alone (log in, and send `authorization: bearer TOKEN`)")]
    Unknown,
    /// They may not even know that there is such a room.
    #[error("there is no such room")]
    Hidden,
    /// They know of it, and may not.
    #[error("this is for the room's moderators")]
    Moderators,
}

/// Whether somebody may come at all.
pub(crate) fn may_come(who: Who<'_>) -> Result<(), Denied> {
    if who.open || who.identity.is_some() { Ok(()) } else { Err(Denied::Unknown) }
}

/// Whether somebody may say something to one account alone, which is kept for both.
pub(crate) fn may_whisper(who: Who<'_>) -> Result<(), Denied> {
    who.identity.map(drop).ok_or(Denied::Unknown)
}

/// Whether somebody may have a file that `owner` has sent: who has sent it, whom it was shown to
/// alone, and whoever may read in one of the rooms that it was shown in.
pub(crate) fn may_fetch(
    who: Who<'_>,
    owner: UserId,
    is_shown: bool,
    rooms: &[RoomView],
) -> Result<(), Denied> {
    may_come(who)?;
    let is_own = who.identity.is_some_and(|identity| identity.admin || identity.user == owner);
    let is_seen = || rooms.iter().any(|view| may(who, Action::See, view).is_ok());
    if is_own || is_shown || is_seen() { Ok(()) } else { Err(Denied::Hidden) }
}

/// Whether somebody may do something in a room.
///
/// Administrators may do everything. A guest may read and write in public rooms of an open server;
/// an account in public rooms and in those it belongs to; moderators also change their room.
pub(crate) fn may(who: Who<'_>, action: Action, view: &RoomView) -> Result<(), Denied> {
    may_come(who)?;
    if who.identity.is_some_and(|identity| identity.admin) {
        return Ok(());
    }
    if !view.room.public && view.role.is_none() {
        return Err(Denied::Hidden);
    }
    match action {
        Action::See | Action::Speak => Ok(()),
        _ if who.identity.is_none() => Err(Denied::Unknown),
        Action::Join => Ok(()),
        Action::Change | Action::Admit if view.role == Some(Role::Moderator) => Ok(()),
        Action::Change | Action::Admit => Err(Denied::Moderators),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Room, RoomId};

    #[test]
    fn the_table_of_who_may_what() {
        use Action::{Admit, Change, Join, See, Speak};
        use Denied::{Hidden, Moderators, Unknown};
        let identity = |admin| Identity {
            user: UserId(1),
            name: String::new(),
            admin,
            session: String::new(),
            expires_ms: 0,
        };
        let (user, admin) = (identity(false), identity(true));
        let all = [See, Speak, Join, Change, Admit];
        let yes = Ok(());
        for (who, open, public, role, answers) in [
            (None, false, true, None, [Err(Unknown); 5]),
            (None, true, true, None, [yes, yes, Err(Unknown), Err(Unknown), Err(Unknown)]),
            (None, true, false, None, [Err(Hidden); 5]),
            (Some(&user), false, true, None, [yes, yes, yes, Err(Moderators), Err(Moderators)]),
            (Some(&user), true, false, None, [Err(Hidden); 5]),
            (
                Some(&user),
                false,
                false,
                Some(Role::Member),
                [yes, yes, yes, Err(Moderators), Err(Moderators)],
            ),
            (Some(&user), false, false, Some(Role::Moderator), [yes; 5]),
            (Some(&admin), false, false, None, [yes; 5]),
        ] {
            let room = Room {
                id: RoomId(1),
                name: String::new(),
                title: String::new(),
                public,
                ephemeral: false,
                last_seq: 0,
                created_ms: 0,
            };
            let view = RoomView { room, role };
            for (action, answer) in all.into_iter().zip(answers) {
                let who = Who { identity: who, open };
                assert_eq!(may(who, action, &view), answer, "{who:?} {action:?} {view:?}");
            }
        }
    }
}
