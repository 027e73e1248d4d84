//! Rooms and who belongs to them.
//! In: names, ids, changes. Out: rooms, as anyone or as one user sees them; members with roles.
//! Leaves to others: who may do what (`auth`), who is in a room just now (`hub`).

use super::program::{Program, Then};
use super::value::{Row, Value, values};
use super::{RoomId, Store, StoreError, UserId, now};

const BY_NAME: &str = "SELECT r.id, r.name, r.title, r.public, r.ephemeral, r.last_seq, \
    r.created_ms, m.role FROM rooms r \
    LEFT JOIN memberships m ON m.room_id = r.id AND m.user_id = $1 WHERE r.name = $2";
/// Public rooms by name, and private ones that the user belongs to: each of the two is a range of
/// an index, and no more rows than wanted are taken from it.
const LIST: &str = "SELECT id, name, title, public, ephemeral, last_seq, created_ms, role FROM ( \
    SELECT * FROM (SELECT r.id, r.name, r.title, r.public, r.ephemeral, r.last_seq, \
    r.created_ms, m.role FROM rooms r \
    LEFT JOIN memberships m ON m.room_id = r.id AND m.user_id = $1 \
    WHERE r.public = 1 AND r.name > $2 ORDER BY r.name LIMIT $3) open \
    UNION ALL SELECT * FROM (SELECT r.id, r.name, r.title, r.public, r.ephemeral, r.last_seq, \
    r.created_ms, m.role FROM memberships m JOIN rooms r ON r.id = m.room_id \
    WHERE m.user_id = $1 AND r.public = 0 AND r.name > $2 ORDER BY r.name LIMIT $3) closed \
    ) seen ORDER BY name LIMIT $3";
const ADD: &str = "INSERT INTO rooms (name, title, public, ephemeral, created_ms, updated_ms) \
    VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (name) DO NOTHING RETURNING id";
const COUNT: &str = "SELECT COUNT(*) FROM rooms";
const CHANGE: &str = "UPDATE rooms SET title = COALESCE($1, title), \
    public = COALESCE($2, public), updated_ms = $3 WHERE id = $4 RETURNING id";
const REMOVE: &str = "DELETE FROM rooms WHERE id = $1 RETURNING id";
const FORGET: &str = "DELETE FROM rooms WHERE id = $1 AND ephemeral = 1 RETURNING id";
const JOIN: &str = "INSERT INTO memberships (room_id, user_id, role, joined_ms) \
    VALUES ($1, $2, $3, $4) ON CONFLICT (room_id, user_id) DO NOTHING RETURNING role";
const SET_ROLE: &str = "INSERT INTO memberships (room_id, user_id, role, joined_ms) \
    VALUES ($1, $2, $3, $4) ON CONFLICT (room_id, user_id) DO UPDATE SET role = excluded.role \
    RETURNING role";
const LEAVE: &str = "DELETE FROM memberships WHERE room_id = $1 AND user_id = $2 RETURNING role";
const MEMBERS: &str = "SELECT m.user_id, u.name, m.role, m.joined_ms FROM memberships m \
    JOIN users u ON u.id = m.user_id WHERE m.room_id = $1 AND m.user_id > $2 \
    ORDER BY m.user_id LIMIT $3";
const ROLE: &str = "SELECT role FROM memberships WHERE room_id = $1 AND user_id = $2";

/// All of the above, for the test that reads their plans.
#[cfg(test)]
pub(super) const STATEMENTS: &[&str] =
    &[BY_NAME, LIST, ADD, COUNT, CHANGE, REMOVE, FORGET, JOIN, SET_ROLE, LEAVE, MEMBERS, ROLE];

/// What a member of a room may do there.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Role {
    /// Read and write.
    Member,
    /// Also change the room and its members.
    Moderator,
}

impl Role {
    /// The word it goes by, outside and in the table.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Moderator => "moderator",
        }
    }

    /// The role of that word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        [Self::Member, Self::Moderator].into_iter().find(|role| role.word() == word)
    }
}

/// A room.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    /// What it goes by outside; never changes.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) public: bool,
    /// Made when somebody entered it, gone when the last has left.
    pub(crate) ephemeral: bool,
    /// Number of its newest message or event.
    pub(crate) last_seq: i64,
    pub(crate) created_ms: i64,
}

/// A room as one user sees it.
#[derive(Clone, Debug)]
pub(crate) struct RoomView {
    pub(crate) room: Room,
    /// The user's role, if the user belongs to it.
    pub(crate) role: Option<Role>,
}

/// A room to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewRoom<'a> {
    pub(crate) name: &'a str,
    pub(crate) title: &'a str,
    pub(crate) public: bool,
    /// Becomes its first moderator.
    pub(crate) owner: Option<UserId>,
}

/// What is to become different in a room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes<'a> {
    pub(crate) title: Option<&'a str>,
    pub(crate) public: Option<bool>,
}

/// Who belongs to a room.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) user: UserId,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) joined_ms: i64,
}

pub(super) fn view(row: &Row<'_>) -> Result<RoomView, StoreError> {
    let room = Room {
        id: RoomId(row.int(0)?),
        name: row.text(1)?,
        title: row.text(2)?,
        public: row.flag(3)?,
        ephemeral: row.flag(4)?,
        last_seq: row.int(5)?,
        created_ms: row.int(6)?,
    };
    Ok(RoomView { room, role: row.maybe_text(7)?.as_deref().and_then(Role::of_word) })
}

impl Store {
    /// The room of that name, as the user sees it.
    pub(crate) async fn room(
        &self,
        name: &str,
        user: Option<UserId>,
    ) -> Result<Option<RoomView>, StoreError> {
        self.read_one(BY_NAME, values![user.unwrap_or(NOBODY), name], view).await
    }

    /// Rooms that the user may see, by name, after the name `after`.
    pub(crate) async fn rooms(
        &self,
        user: Option<UserId>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<RoomView>, StoreError> {
        self.read(LIST, values![user.unwrap_or(NOBODY), after, limit], view).await
    }

    /// Number of rooms.
    pub(crate) async fn count_rooms(&self) -> Result<i64, StoreError> {
        let count = self.read_one(COUNT, Vec::new(), |row| row.int(0)).await?;
        count.ok_or_else(|| StoreError::Shape("a count".to_owned()))
    }

    /// Makes a room; none when the name is taken.
    pub(crate) async fn add_room(&self, new: NewRoom<'_>) -> Result<Option<RoomId>, StoreError> {
        let now = now();
        let values = values![new.name, new.title, new.public, false, now];
        let mut program = Program::default().step(ADD, values, Then::Need);
        if let Some(owner) = new.owner {
            let values = values![Value::Of(0, 0), owner, Role::Moderator.word(), now];
            program = program.step(JOIN, values, Then::On);
        }
        let outcome = self.write(program).await?;
        outcome.row(0).map(|row| row.int(0).map(RoomId)).transpose()
    }

    /// The room of that name; made public, as one that is gone when the last has left, or as one
    /// that stays, when it is not there.
    pub(crate) async fn ensure_room(
        &self,
        name: &str,
        ephemeral: bool,
    ) -> Result<Room, StoreError> {
        if let Some(view) = self.room(name, None).await? {
            return Ok(view.room);
        }
        let values = values![name, name, true, ephemeral, now()];
        self.write(Program::default().step(ADD, values, Then::On)).await?;
        let view = self.room(name, None).await?;
        view.map(|view| view.room).ok_or_else(|| StoreError::Shape(format!("room `{name}`")))
    }

    /// Removes a room that was to be gone when the last has left, and all that was said in it.
    pub(crate) async fn forget_ephemeral(&self, room: RoomId) -> Result<(), StoreError> {
        self.write(Program::default().step(FORGET, values![room], Then::On)).await.map(drop)
    }

    /// Changes a room; false when it is not there.
    pub(crate) async fn change_room(
        &self,
        room: RoomId,
        changes: Changes<'_>,
    ) -> Result<bool, StoreError> {
        let values = values![changes.title, changes.public, now(), room];
        let outcome = self.write(Program::default().step(CHANGE, values, Then::On)).await?;
        Ok(outcome.row(0).is_some())
    }

    /// Removes a room and all that was said in it; false when it is not there.
    pub(crate) async fn remove_room(&self, room: RoomId) -> Result<bool, StoreError> {
        let outcome = self.write(Program::default().step(REMOVE, values![room], Then::On)).await?;
        Ok(outcome.row(0).is_some())
    }

    /// Makes the user a member, who is one already or not; true when not.
    pub(crate) async fn join(&self, room: RoomId, user: UserId) -> Result<bool, StoreError> {
        let values = values![room, user, Role::Member.word(), now()];
        let outcome = self.write(Program::default().step(JOIN, values, Then::On)).await?;
        Ok(outcome.row(0).is_some())
    }

    /// Gives the user a role, as a member who may be new.
    pub(crate) async fn set_role(
        &self,
        room: RoomId,
        user: UserId,
        role: Role,
    ) -> Result<(), StoreError> {
        let values = values![room, user, role.word(), now()];
        self.write(Program::default().step(SET_ROLE, values, Then::On)).await.map(drop)
    }

    /// Ends a membership; false when there was none.
    pub(crate) async fn leave(&self, room: RoomId, user: UserId) -> Result<bool, StoreError> {
        let program = Program::default().step(LEAVE, values![room, user], Then::On);
        Ok(self.write(program).await?.row(0).is_some())
    }

    /// Members by id, after the id `after`.
    pub(crate) async fn members(
        &self,
        room: RoomId,
        after: UserId,
        limit: i64,
    ) -> Result<Vec<Member>, StoreError> {
        let member = |row: &Row<'_>| {
            let role = row.text(2)?;
            let role = Role::of_word(&role)
                .ok_or_else(|| StoreError::Shape(format!("a role, not `{role}`")))?;
            Ok(Member {
                user: UserId(row.int(0)?),
                name: row.text(1)?,
                role,
                joined_ms: row.int(3)?,
            })
        };
        self.read(MEMBERS, values![room, after, limit], member).await
    }

    /// The user's role in a room, if the user belongs to it.
    pub(crate) async fn role(
        &self,
        room: RoomId,
        user: UserId,
    ) -> Result<Option<Role>, StoreError> {
        let role = self.read_one(ROLE, values![room, user], |row| row.text(0)).await?;
        Ok(role.as_deref().and_then(Role::of_word))
    }
}

/// No account has this id: the databases count from 1.
pub(super) const NOBODY: UserId = UserId(0);
