//! A machine for tests: it has the facts that it was given, records ops, answers fetches from a table, and fails
//! where it is told to.

use std::io;

use anyhow::{Context, anyhow};
use nii::digest::Digest;
use nii::manifest::Manifest;
use plan::{Facts, Op, Target};
use uuid::Uuid;

use crate::machine::{Applied, ApplyError, FetchError, Machine, Request, Salvage, Watch};

/// Answers a request.
pub type Answer = Box<dyn FnMut(&Request) -> Result<Vec<u8>, FetchError> + Send>;

/// The recorder. Public fields: tests set and read them.
pub struct Recorder {
    /// What [`Machine::facts`] gives.
    pub facts: Facts,
    /// What it gives from the reading of this index (from 0) on: hardware that comes up late.
    pub late: Option<(usize, Facts)>,
    /// What [`Machine::salvage`] gives.
    pub salvage: Salvage,
    /// What [`Machine::manifest`] gives, by its digest.
    pub manifests: Vec<(Digest, Manifest)>,
    /// The ops that were applied, in order; one that failed is the last.
    pub ops: Vec<Op>,
    /// The URLs that were fetched.
    pub fetched: Vec<String>,
    /// Fail the op of this index (from 0) with this errno.
    pub fail_at: Option<(usize, i32)>,
    answers: Vec<(String, Answer)>,
    readings: usize,
}

impl Recorder {
    /// A recorder on a machine with these facts.
    pub fn new(facts: Facts) -> Self {
        Self {
            facts,
            late: None,
            salvage: Salvage::default(),
            manifests: Vec::new(),
            ops: Vec::new(),
            fetched: Vec::new(),
            fail_at: None,
            answers: Vec::new(),
            readings: 0,
        }
    }

    /// Answers every URL that begins with `prefix` by `answer`; the first prefix that fits wins.
    #[must_use]
    pub fn answering(
        mut self,
        prefix: impl Into<String>,
        answer: impl FnMut(&Request) -> Result<Vec<u8>, FetchError> + Send + 'static,
    ) -> Self {
        self.answers.push((prefix.into(), Box::new(answer)));
        self
    }

    /// Fails the op of index `k`, from 0, with `errno`.
    #[must_use]
    pub fn failing_at(mut self, k: usize, errno: i32) -> Self {
        self.fail_at = Some((k, errno));
        self
    }
}

impl Machine for Recorder {
    fn facts(&mut self, _watch: &mut dyn Watch) -> anyhow::Result<Facts> {
        if let Some((_, late)) = self.late.take_if(|(from, _)| *from == self.readings) {
            self.facts = late;
        }
        self.readings += 1;
        Ok(self.facts.clone())
    }

    fn manifest(
        &mut self,
        digest: Digest,
        _sources: &[String],
        _watch: &mut dyn Watch,
    ) -> anyhow::Result<Manifest> {
        let found = self.manifests.iter().find(|(known, _)| *known == digest);
        found
            .map(|(_, manifest)| manifest.clone())
            .with_context(|| format!("no source has the image {digest}"))
    }

    fn salvage(
        &mut self,
        _facts: &Facts,
        _targets: &[Target],
        _arming: Uuid,
        _watch: &mut dyn Watch,
    ) -> Salvage {
        self.salvage.clone()
    }

    fn apply(&mut self, op: &Op, watch: &mut dyn Watch) -> Result<Applied, ApplyError> {
        self.ops.push(op.clone());
        if let Some((_, errno)) = self.fail_at.filter(|(k, _)| k + 1 == self.ops.len()) {
            watch.log("the recorder fails this op");
            let source = anyhow::Error::new(io::Error::from_raw_os_error(errno));
            return Err(ApplyError { op: op.to_string(), source });
        }
        Ok(Applied::Done)
    }

    fn fetch(&mut self, request: &Request) -> Result<Vec<u8>, FetchError> {
        self.fetched.push(request.url.clone());
        match self.answers.iter_mut().find(|(prefix, _)| request.url.starts_with(prefix.as_str())) {
            Some((_, answer)) => answer(request),
            None => Err(FetchError::Transport {
                url: request.url.clone(),
                source: anyhow!("the recorder has no answer for it"),
            }),
        }
    }
}
