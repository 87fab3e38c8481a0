//! The life cycle of a session as a diagram and a transition table.
//!
//! ```text
//!            attach              attach (takeover)
//!   New ──────────────▶ Connected ◀──┐
//!    │                   │    ▲  └───┘
//!    │              lost │    │ attach
//!    │                   ▼    │
//!    │                 Suspended
//!    │                   │
//!    └────────▶ Closed ◀─┘  end, from any state; window passed, from Suspended
//! ```

/// The state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the drawing above is complete")]
pub enum SessionState {
    /// No socket has been attached yet.
    New,
    /// A socket is attached.
    Connected,
    /// The socket is lost; the session waits for another.
    Suspended,
    /// The session has ended. Final.
    Closed,
}

/// An event that can change the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A socket is attached; it replaces one that is still attached.
    Attach,
    /// The attached socket is lost, and the session may outlive it.
    Suspend,
    /// The session ends: closed, kicked, replaced, failed, or its window has passed.
    End,
}

impl SessionState {
    /// The transition table. `None` if the step does not apply; the state is then unchanged.
    #[must_use]
    pub(super) fn after(self, step: Step) -> Option<Self> {
        match (self, step) {
            (Self::New | Self::Connected | Self::Suspended, Step::Attach) => Some(Self::Connected),
            (Self::Connected, Step::Suspend) => Some(Self::Suspended),
            (Self::New | Self::Connected | Self::Suspended, Step::End) => Some(Self::Closed),
            (Self::New | Self::Suspended | Self::Closed, Step::Suspend) => None,
            (Self::Closed, Step::Attach | Step::End) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_and_step_is_as_drawn() {
        let mut table = String::new();
        for state in
            [SessionState::New, SessionState::Connected, SessionState::Suspended, SessionState::Closed]
        {
            for step in [Step::Attach, Step::Suspend, Step::End] {
                table += &format!("{state:?} {step:?} {:?}\n", state.after(step));
            }
        }
        assert_eq!(
            table,
            "New Attach Some(Connected)\nNew Suspend None\nNew End Some(Closed)\n\
             Connected Attach Some(Connected)\nConnected Suspend Some(Suspended)\nConnected End Some(Closed)\n\
             Suspended Attach Some(Connected)\nSuspended Suspend None\nSuspended End Some(Closed)\n\
             Closed Attach None\nClosed Suspend None\nClosed End None\n"
        );
    }
}
