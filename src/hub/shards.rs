//! Weights in several files: an index names them, and they are fetched into its snapshot.

use super::address::{Address, is_plain};
use super::cache::{Cache, Cached};
use super::error::{HubError, Trouble};
use super::settings::Hub;
use super::{Event, Report};
use netwright_compiler::weights::Index;

/// What an index's name ends in.
pub const SUFFIX: &str = ".index.json";

impl Hub {
    /// Sees to it that the files of an index are beside it: what is not in the cache is fetched, of the
    /// index's commit. All of it is one transfer to whoever wants to know.
    ///
    /// # Errors
    /// The index makes no sense, or a file cannot be had. What was fetched before stays.
    pub(super) fn shards(
        &self,
        cache: &Cache,
        address: &Address,
        index: &Cached,
        file: &str,
        report: Report<'_>,
    ) -> Result<(), HubError> {
        // An index that was put there by hand is of no commit that the hub knows: what is missing
        // beside it is told when it is opened.
        if !index.known {
            return Ok(());
        }
        let wrong = |what: &str| HubError::index(&index.path, what);
        let names = Index::read(&index.path).map_err(|what| wrong(&what))?.shards;
        if !names.iter().all(|name| is_plain(name)) {
            return Err(wrong("it names files as no repository has them"));
        }
        let folder =
            file.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let commit = &index.commit;
        let mut wanted: Vec<String> = names.iter().map(|name| format!("{folder}{name}")).collect();
        wanted.retain(|file| cache.find(commit, file).is_none());
        if wanted.is_empty() {
            return Ok(());
        }
        let explain = |file: &str, trouble| self.explain(cache, address, commit, file, trouble);
        let mut joined = Joined::new(report, self.sizes(cache, address, commit, &wanted)?);
        for (at, file) in wanted.iter().enumerate() {
            let fetched =
                self.try_fetch(cache, address, commit, file, &mut |event| joined.tell(at, event));
            let found = fetched.map_err(|trouble| explain(file, trouble))?;
            joined.end(at);
            if found.commit != *commit {
                let message = format!("the hub has it of commit {} alone", found.commit);
                return Err(explain(file, Trouble::Answer(message)));
            }
        }
        Ok(())
    }

    /// Bytes of files, `None` where the hub does not say: a file that is not there is known before
    /// the first is fetched.
    fn sizes(
        &self,
        cache: &Cache,
        address: &Address,
        commit: &str,
        files: &[String],
    ) -> Result<Vec<Option<u64>>, HubError> {
        let mut sizes = vec![None; files.len()];
        for (file, size) in files.iter().zip(&mut sizes) {
            match self.try_size(address, commit, file) {
                Ok(bytes) => *size = bytes,
                Err(trouble @ Trouble::NoFile { .. }) => {
                    return Err(self.explain(cache, address, commit, file, trouble));
                }
                // The transfer will say it, and tries more than once.
                Err(_) => break,
            }
        }
        Ok(sizes)
    }
}

/// Several transfers as one.
struct Joined<'a> {
    report: Report<'a>,
    sizes: Vec<Option<u64>>,
    /// Bytes of the files that are there.
    done: u64,
    /// Bytes of the file that is fetched.
    now: u64,
    begun: bool,
}

impl<'a> Joined<'a> {
    fn new(report: Report<'a>, sizes: Vec<Option<u64>>) -> Joined<'a> {
        Joined { report, sizes, done: 0, now: 0, begun: false }
    }

    /// Passes on what happens to the file `at`.
    fn tell(&mut self, at: usize, event: Event<'_>) {
        match event {
            Event::Start { url, kept, .. } => {
                self.now = kept;
                if self.begun {
                    return (self.report)(Event::At(self.done + kept));
                }
                self.begun = true;
                let rest = &self.sizes[at..];
                let bytes = rest.iter().copied().sum::<Option<u64>>().map(|rest| rest + self.done);
                let (files, kept) = (rest.len(), self.done + kept);
                (self.report)(Event::Start { url, files, bytes, kept });
            }
            Event::At(bytes) => {
                self.now = bytes;
                (self.report)(Event::At(self.done + bytes));
            }
            // The next file, or the next attempt, goes on with it.
            Event::End => {}
            Event::Note(_) => (self.report)(event),
        }
    }

    /// The file `at` is there.
    fn end(&mut self, at: usize) {
        self.done += self.sizes[at].unwrap_or(self.now);
        self.now = 0;
    }
}

/// Well or not.
impl Drop for Joined<'_> {
    fn drop(&mut self) {
        if self.begun {
            (self.report)(Event::End);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sizes: Vec<Option<u64>>) -> String {
        let mut said = Vec::new();
        let mut report = |event: Event<'_>| said.push(format!("{event:?}"));
        let mut joined = Joined::new(&mut report, sizes);
        let start = |kept| Event::Start { url: "u", files: 1, bytes: Some(7), kept };
        for event in [start(2), Event::At(5), Event::End, Event::Note("again"), start(5)] {
            joined.tell(0, event);
        }
        joined.tell(0, Event::At(7));
        joined.tell(0, Event::End);
        joined.end(0);
        joined.tell(1, start(0));
        joined.tell(1, Event::At(3));
        drop(joined);
        said.join("\n")
    }

    #[test]
    fn several_transfers_are_one() {
        insta::assert_snapshot!(told(vec![Some(7), Some(3)]));
        assert!(told(vec![Some(7), None]).contains("bytes: None"));
    }
}
