//! Options of rooms.

use super::Builder;

impl Builder {
    /// Sets whether a frame that is broadcast to a room names it ([`Frame::room`](rejoin_core::Frame::room)), so that a client in
    /// several rooms can tell them apart. A receiver that gets the frame as a user, by its ID, or with everyone, gets it without a
    /// name. Default: `false`. [`Audience::name_rooms`](crate::Audience::name_rooms) says otherwise for one broadcast.
    ///
    /// Costs one encoding for each room of an audience, instead of one for all of them, and the bytes of the name.
    pub fn name_rooms(mut self, names: bool) -> Self {
        self.options.name_rooms = names;
        self
    }
}
