//! What the supervisor is told: which step runs and what the policy is, should the worker die.

use std::path::Path;

use host::observers::{Policy, policy, say};
use host::{Note, Observer};

use crate::outcome::{self, Outcome};

/// The supervisor: which step runs and what the policy is, should the worker die.
pub struct Marker(pub Policy);

impl Observer for Marker {
    fn note(&mut self, note: &Note<'_>) {
        let outcome = match note {
            Note::Started { step, .. } => {
                Outcome::Running { step: (*step).to_owned(), policy: policy(&self.0) }
            }
            Note::Failed(failure) => Outcome::Failed { failure: (*failure).clone(), policy: policy(&self.0) },
            _ => return,
        };
        if let Err(error) = outcome.store(Path::new(outcome::PATH)) {
            say(&format!("camphor: warning: {error:#}"));
        }
    }
}
