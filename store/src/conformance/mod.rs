//! The requirements on every store, as checks.
//!
//! [`conformance_tests!`](crate::conformance_tests) makes a test of each check. [`random`] compares a store with a model over
//! random calls.

#![allow(clippy::unwrap_used, reason = "checks are tests")]

mod ends;
mod fences;
mod logs;
mod model;
pub mod random;
mod subject;

pub use subject::Subject;

pub use ends::{
    adoption_keeps_deadline_and_takes_nothing_from_living, dead_owner_expires_after_window,
    deadline_follows_clock_of_store, ended_key_stays_taken, ends_are_part_of_commit, id_is_free_after_end,
    lease_that_passed_is_over, records_come_in_pages, repeated_end_is_already_done, touch_is_fenced,
};
pub use fences::{
    attach_needs_secret_and_lease, attach_takes_over_or_keeps, checkpoints_never_go_back, commit_is_one_step,
    late_attach_is_refused, late_open_of_dead_node_is_refused, old_epochs_are_fenced,
    opened_writer_has_record, repeated_attach_answers_the_same, repeated_open_answers_the_same,
    taken_ids_and_keys_are_refused, w_grows_by_one, writer_of_other_log_is_fenced,
};
pub use logs::{
    commits_of_one_call_keep_their_order, empty_body_appends_nothing, logs_are_independent,
    pages_have_limits_and_no_hole, positions_outside_log_are_refused, tail_brings_entries_in_order,
    trim_goes_beyond_a_servers_own_writer, trim_keeps_what_checkpoint_needs, trim_keeps_what_is_young,
    trimmed_log_goes_on,
};

/// Makes a test of each check for a store. The argument is an async closure that makes a [`Subject`] with an empty store.
///
/// ```
/// # mod tests {
/// use rejoin_store::conformance::Subject;
/// use rejoin_store::conformance_tests;
///
/// conformance_tests!(async || Subject::memory());
/// # }
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($make:expr) => {
        $crate::conformance_tests! { @each $make,
            old_epochs_are_fenced, w_grows_by_one, commit_is_one_step, repeated_open_answers_the_same,
            repeated_attach_answers_the_same, late_attach_is_refused, late_open_of_dead_node_is_refused,
            taken_ids_and_keys_are_refused, attach_takes_over_or_keeps, attach_needs_secret_and_lease,
            checkpoints_never_go_back, opened_writer_has_record, writer_of_other_log_is_fenced,
            id_is_free_after_end, ends_are_part_of_commit, repeated_end_is_already_done, ended_key_stays_taken,
            touch_is_fenced, deadline_follows_clock_of_store, dead_owner_expires_after_window,
            adoption_keeps_deadline_and_takes_nothing_from_living, records_come_in_pages, lease_that_passed_is_over,
            empty_body_appends_nothing, commits_of_one_call_keep_their_order, pages_have_limits_and_no_hole,
            positions_outside_log_are_refused, logs_are_independent, tail_brings_entries_in_order,
            trim_keeps_what_checkpoint_needs, trim_keeps_what_is_young, trim_goes_beyond_a_servers_own_writer, trimmed_log_goes_on,
        }
    };
    (@each $make:expr, $($name:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            $crate::conformance::$name(&($make)().await).await;
        }
    )*};
}
