//! Whole heaps in a run: the first when the warm-up is over, the last when the series is decided.
//! In: the session. Out: warnings where they cannot be had, and a verdict with classes.
//! Taking and comparing them is left to `classes`.

use super::Session;
use crate::classes::{self, FIRST, LAST};
use crate::request::RunError;
use ebbtide_loadgen::scenario::MemoryWatch;
use ebbtide_record::event::Body;

impl Session<'_> {
    /// Takes the whole heap that the last one is compared with, when the warm-up is over.
    pub(super) async fn first_heap(
        &mut self,
        round: u32,
        watch: &MemoryWatch,
    ) -> Result<(), RunError> {
        if round + 1 == watch.warmup_rounds.max(1) {
            self.whole_heap(FIRST).await?;
        }
        Ok(())
    }

    /// Takes the whole heap at the end, and adds the classes that grew to the verdict.
    pub(super) async fn last_heap(&mut self) -> Result<(), RunError> {
        if !self.folder.snapshots().join(FIRST).exists() || !self.whole_heap(LAST).await? {
            return Ok(());
        }
        let mut verdict = self.journal.state().memory.clone();
        match classes::compare(self.folder.path(), &verdict).await {
            Ok(found) => verdict.classes = found,
            Err(warning) => self.journal.warn(warning).await?,
        }
        self.journal.note(Body::Verdict(Box::new(verdict))).await?;
        Ok(())
    }

    /// Lets go of the target. What was started for the run ends with it; what runs on is to run
    /// as it did before.
    pub(super) async fn let_go(&self) {
        if let (Some(source), false) = (&self.source, self.target.is_ours()) {
            source.release().await;
        }
    }

    async fn whole_heap(&mut self, name: &str) -> Result<bool, RunError> {
        let Some(source) = self.source.clone() else { return Ok(false) };
        let folder = self.folder.snapshots();
        let taken = tokio::select! {
            taken = classes::take(&source, &folder, name) => taken,
            () = self.control.stopped() => return Ok(false),
            () = self.target.gone() => return Ok(false),
        };
        match taken {
            Ok(taken) => Ok(taken),
            Err(warning) => {
                self.journal.warn(warning).await?;
                Ok(false)
            }
        }
    }
}
