//! Source 2: the airports near the notable events that have none looked up yet, some at each turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use punctual::{Outcome, Run};

use crate::database::Database;
use crate::join::{self, AirportList};
use crate::report::Report;

/// How long a turn may take.
const TURN: Duration = Duration::from_millis(2);

/// The job, which keeps what is left between its turns.
///
/// The airports of an event and that they were looked up are one transaction. So a run that was cut off is simply run again,
/// and goes on with what is left.
pub fn look_up(
    airports: AirportList,
    report: Arc<Report>,
) -> impl FnMut(&mut Run<'_, Database>, &()) -> crate::database::Result<Outcome> {
    let (mut left, mut of, mut pairs) = (VecDeque::new(), 0, 0);
    move |run, ()| {
        if run.turn() == 0 {
            left = run.host().unjoined()?.into();
            (of, pairs) = (left.len(), 0);
        }
        let airports = airports.get().map_or(&[][..], |airports| airports);
        let began = Instant::now();
        while let Some((id, latitude, longitude)) = left.pop_front() {
            let near = join::near(airports, latitude, longitude);
            run.host().join(&id, &near)?;
            pairs += near.len();
            report.count(|counts| counts.joined += 1);
            run.progress((of - left.len()) as u64, of as u64);
            if began.elapsed() >= TURN && !left.is_empty() {
                return Ok(Outcome::Yield);
            }
        }
        if of > 0 {
            let text = format!("airports  {of} notable events, {pairs} airports within {} km", join::NEAR);
            report.line(run.due(), &text);
        }
        Ok(Outcome::Done)
    }
}
