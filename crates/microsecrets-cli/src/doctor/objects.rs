//! The objects of a service: each of its items, what belongs to none, and the mending of what can be mended.

use microsecrets::item::{Access, Ailment, Examination, ItemError, Writer, survey};
use microsecrets::layout::Item;
use microsecrets::name::{Number, ServiceName};
use microsecrets::record::State;
use microsecrets::store::{Encryption, ErrorKind};
use microsecrets::text::shown;

use super::{Commands, Finding, ailments};
use crate::config::Opened;
use crate::error::{CliError, file_option};
use crate::ui;
use crate::ui::confirmed;

/// What was seen of a service's objects.
#[derive(Default)]
pub(crate) struct Objects {
    pub(crate) findings: Vec<Finding>,
    /// The items that were looked at.
    pub(crate) items: Vec<Item>,
    /// Whether 0.3.4 may still write one of them: no head is there yet, or it says so.
    pub(crate) migrating: bool,
    /// How the heads are encrypted.
    heads: Vec<(Item, Encryption)>,
}

impl Objects {
    /// How an item's head is encrypted.
    pub(crate) fn encryption_of(&self, item: &Item) -> Option<&Encryption> {
        let mut heads = self.heads.iter();
        heads.find(|(own, _)| own == item).map(|(_, encryption)| encryption)
    }
}

/// What is needed to look at a service's objects, and to mend them.
pub(crate) struct Ward<'a> {
    pub(crate) opened: &'a Opened,
    pub(crate) service: &'a ServiceName,
    /// The one item that is looked at.
    pub(crate) only: Option<&'a Item>,
    pub(crate) commands: Commands<'a>,
    pub(crate) fix: bool,
    /// Mend without asking.
    pub(crate) yes: bool,
}

impl Ward<'_> {
    /// Looks at all of them.
    pub(crate) async fn all(&self) -> Objects {
        let mut objects = Objects::default();
        match self.only {
            Some(only) => objects.items.push(only.clone()),
            None => match survey(&*self.opened.store, self.service).await {
                Ok((items, foreign)) => {
                    objects.items = items;
                    let foreign = foreign.iter().map(|key| self.foreign(key));
                    objects.findings.extend(foreign);
                }
                Err(error) => {
                    objects.findings.push(Finding::not_seen("objects", self.service, error));
                    return objects;
                }
            },
        }
        if objects.items.is_empty() && objects.findings.is_empty() {
            let says = format!("there is nothing of the service {}", self.service);
            let why = "its name may be misspelt; `microsecrets list` shows those there are";
            let finding = Finding::warning("objects", self.service, says, why);
            objects.findings.push(finding.mend(self.commands.own("upload", "")));
        }
        for item in objects.items.clone() {
            self.item(&item, &mut objects).await;
        }
        if !self.opened.checks.demand_signatures() {
            let says = "no public key is pinned, so nobody's signature is demanded";
            objects.findings.push(Finding::ok("signatures", self.service, says));
        }
        objects
    }

    fn foreign(&self, key: &str) -> Finding {
        let says = format!("{} belongs to no item", shown(key));
        let why = "nothing of ours wrote it: somebody else writes here, or a label is none";
        Finding::warning("foreign", key, says, why).mend(self.commands.remove(key))
    }

    async fn item(&self, item: &Item, objects: &mut Objects) {
        let access = self.opened.access(item);
        let mut examined = access.examine().await;
        if self.fix
            && let Ok(examination) = &examined
        {
            match self.mend(access, examination).await {
                Ok(false) => {}
                Ok(true) => examined = access.examine().await,
                Err(error) => {
                    let (told, hint) = error.told();
                    let says = format!("the {item} could not be mended: {told}");
                    let finding = Finding::failure("fix", item, says, "what was found is still so");
                    objects.findings.push(finding.mend_if(hint));
                    examined = access.examine().await;
                }
            }
        }
        match examined {
            Ok(examination) => self.tell(item, access, examination, objects).await,
            Err(error) => objects.findings.push(not_examined(item, error)),
        }
    }

    async fn tell(&self, item: &Item, access: Access<'_>, examination: Examination, objects: &mut Objects) {
        let needs_head = examination.ailments.iter().any(is_of_head);
        objects.migrating |= match &examination.current {
            Some(record) => record.migration,
            // A head that is refused was ours all the same.
            None => !needs_head && examination.versions > 0,
        };
        if let Some(encryption) = examination.encryption.clone() {
            objects.heads.push((item.clone(), encryption));
        }
        objects.findings.extend(healthy(item, &examination));
        // What would be put back is looked for, and not put.
        let restorable = match needs_head {
            true => access.restorable().await.ok().flatten(),
            false => None,
        };
        let arguments = file_option(item);
        let told = ailments::Told {
            item,
            commands: self.commands,
            fix: self.commands.own("doctor", &format!("{arguments}--fix")),
            restorable: restorable.map(|found| (found.record().number, found.newer)),
        };
        let ailments = examination.ailments.into_iter();
        objects.findings.extend(ailments.map(|ailment| told.finding(ailment)));
    }

    /// Mends what can be mended, each thing after asking: the head first, since nothing else is known without one.
    /// Whether anything was changed.
    async fn mend(&self, access: Access<'_>, examination: &Examination) -> Result<bool, CliError> {
        let mut changed = false;
        let mut ailments = &examination.ailments;
        let again;
        if ailments.iter().any(is_of_head) && self.restore_head(access).await? {
            changed = true;
            again = access.examine().await?;
            ailments = &again.ailments;
        }
        let interrupted = ailments.iter().filter_map(|ailment| match ailment {
            Ailment::Interrupted { what, .. } => Some(*what),
            _ => None,
        });
        let interrupted: Vec<_> = interrupted.collect();
        if !interrupted.is_empty() {
            changed |= self.complete(access, &interrupted.join(" and ")).await?;
        }
        for ailment in ailments {
            if let Ailment::Orphan { key, size } = ailment {
                changed |= self.remove(access, key, *size).await?;
            }
        }
        Ok(changed)
    }

    async fn restore_head(&self, access: Access<'_>) -> Result<bool, CliError> {
        let Some(restorable) = access.restorable().await? else {
            return Ok(false);
        };
        let (item, record) = (access.item, restorable.record());
        let what = match record.state {
            State::Deleted => "the deletion that is version",
            _ => "version",
        };
        let version = format!("{what} {} of {}", record.number, record.time);
        let newer = restorable.newer.as_deref().map(shown);
        let newer = newer.map_or_else(String::new, |newer| {
            format!(" {newer} is newer, and cannot be put back.")
        });
        if !self.may(&format!("Make {version} the current one of the {item} again?{newer}")) {
            return Ok(false);
        }
        let done = access.put_back(&restorable).await?;
        match done {
            true => ui::note(format_args!("{version} is the current one of the {item} again")),
            false => ui::note(format_args!(
                "somebody else has changed the head of the {item} meanwhile; it was left"
            )),
        }
        Ok(true)
    }

    async fn complete(&self, access: Access<'_>, what: &str) -> Result<bool, CliError> {
        let item = access.item;
        if !self.may(&format!(
            "Put what an interrupted write of the {item} left out ({what})?"
        )) {
            return Ok(false);
        }
        // The head's own key is used, so none has to be named.
        Writer::new(access, &*self.opened.keys, "", "")
            .complete_interrupted()
            .await?;
        ui::note(format_args!("completed the interrupted write of the {item}"));
        Ok(true)
    }

    async fn remove(&self, access: Access<'_>, key: &str, size: u64) -> Result<bool, CliError> {
        let question = format!("Remove {}, {size} bytes that were never committed?", shown(key));
        if !self.may(&question) {
            return Ok(false);
        }
        if access.remove_orphan(key).await? {
            ui::note(format_args!("removed {}", shown(key)));
        }
        Ok(true)
    }

    /// Whether something may be done: it was said, or is asked for.
    fn may(&self, question: &str) -> bool {
        if confirmed(self.yes, question).is_ok() {
            return true;
        }
        if !ui::can_confirm() {
            ui::note(format_args!("not done without being asked; --yes does it: {question}"));
        }
        false
    }
}

/// Whether it is the head that is wrong, so that one of the log's versions may have to be put in its place.
fn is_of_head(ailment: &Ailment) -> bool {
    matches!(
        ailment,
        Ailment::HeadRefused { .. } | Ailment::HeadOutdated { .. } | Ailment::NotSigned { .. }
    )
}

/// What could not be looked at as a whole.
fn not_examined(item: &Item, error: ItemError) -> Finding {
    match error {
        ItemError::Store(error) => Finding::not_seen("objects", item, error),
        error => {
            let is_denied = matches!(&error, ItemError::DeniedOrAbsent { source, .. } if matches!(source.kind, ErrorKind::Denied(_)));
            let (told, hint) = CliError::from(error).told();
            let says = format!("the {item} cannot be looked at: {told}");
            let why = "whether its objects are as they shall be is not known";
            let finding = match is_denied {
                true => Finding::warning("objects", item, says, why),
                false => Finding::failure("objects", item, says, why),
            };
            finding.mend_if(hint)
        }
    }
}

/// What is right about an item.
fn healthy(item: &Item, examination: &Examination) -> Vec<Finding> {
    let is_sick = |is_of: &dyn Fn(&Ailment) -> bool| examination.ailments.iter().any(is_of);
    let mut findings = Vec::new();
    if !is_sick(&is_of_head) {
        let says = match &examination.current {
            Some(record) if record.state == State::Deleted => {
                format!("the {item} is version {}, a deletion of {}", record.number, record.time)
            }
            Some(record) => format!("the {item} is version {} of {}", record.number, record.time),
            None if examination.versions > 0 => format!("the {item} has no head: only 0.3.4 has written it"),
            None => format!("there is no {item}"),
        };
        findings.push(Finding::ok("head", item, says));
    }
    let of_log = |ailment: &Ailment| {
        matches!(
            ailment,
            Ailment::LogGap { .. } | Ailment::Inconsistent { .. } | Ailment::Interrupted { .. }
        )
    };
    let of_objects = |ailment: &Ailment| {
        matches!(
            ailment,
            Ailment::Distrusted { .. } | Ailment::BytesLost { .. } | Ailment::Unreadable { .. }
        )
    };
    if !is_sick(&of_log) && !is_sick(&of_objects) && examination.current.is_some() {
        let says = format!(
            "{} of the {item} in a chain, {} as they say",
            counted(examination.records, "record"),
            counted(examination.versions, "object")
        );
        findings.push(Finding::ok("log", item, says));
    }
    let of_signatures = |ailment: &Ailment| matches!(ailment, Ailment::NotSigned { .. } | Ailment::LogNotSigned { .. });
    if let Some(since) = examination.signed_since.filter(|_| !is_sick(&of_signatures)) {
        let says = match since == Number::FIRST {
            true => format!("every version of the {item} is signed by a pinned key"),
            false => format!("every version of the {item} since {since} is signed by a pinned key"),
        };
        findings.push(Finding::ok("signatures", item, says));
    }
    findings
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}
