//! `edit`: changes an environment in an editor.

use clap::Args;
use microsecrets::document::{Variables, parse_flat_object};
use microsecrets::item::{Access, Edits, ItemError, Outcome, Reader, Selector};
use microsecrets::layout::Item;
use microsecrets::pairs;
use microsecrets::record::ChangeKind;
use microsecrets::secret::SecretBytes;

use crate::args::{ServiceArgs, StoreArgs};
use crate::config::{Opened, Purpose};
use crate::error::{CliError, Speaking, Status};
use crate::publish::{self, PublishArgs, Published, apply_edits};
use crate::scratch::{Scratch, Signals, interrupted};
use crate::{exec, ui, versions};

const DETAILS: &str = "\
The environment is shown as NAME=value pairs, or as a JSON object where pairs cannot say a value. The file is private to \
you, in memory where there is a folder for that, and removed when you are done.

What you change is applied to what is there by then, variable by variable: what others have changed meanwhile stays.";

/// Change an environment in your editor ($VISUAL, $EDITOR)
#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct EditArgs {
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// Edit a JSON object instead of pairs (also used when a value cannot be written as a pair)
    #[arg(short, long)]
    json: bool,
    /// Allow names that no shell can export
    #[arg(long)]
    any_name: bool,
    #[command(flatten)]
    publish: PublishArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Edits.
pub(crate) async fn run(args: &EditArgs) -> Result<(), CliError> {
    exec::hide_memory();
    let item = Item::environment(args.service.named()?.clone());
    let opened = Opened::open(&args.store, Purpose::Write).await?;
    let before = current(&opened, &item, args.publish.sign.adopts()).await?;
    let none = Variables::default();
    let (text, spelling) = spelled(args, before.as_ref().unwrap_or(&none));
    // From here on signals do nothing by themselves, so the file is removed when one comes.
    let mut signals = Signals::take()?;
    let scratch = Scratch::create(&format!("{}.{}", item.service(), spelling.extension()), text.expose())?;
    let session = Session {
        args,
        item: &item,
        opened: &opened,
        before,
        spelling,
        scratch,
    };
    session.run(&mut signals).await
}

/// What is edited. What is to be adopted is seen in the editor, and asked about before anything is built on it.
async fn current(opened: &Opened, item: &Item, adopts: bool) -> Result<Option<Variables>, CliError> {
    let anybodys = opened.checks.without_signatures();
    let checks = if adopts { &anybodys } else { &opened.checks };
    let access = Access {
        checks,
        ..opened.access(item)
    };
    match Reader::new(access).read(&Selector::Current).await {
        Ok(version) => versions::document(version.content).map(|document| Some(document.variables)),
        // A new environment begins empty.
        Err(ItemError::Absent { .. } | ItemError::Deleted { .. }) => Ok(None),
        Err(error) => Err(CliError::from(error).context_for_store(format!("cannot read the {item}"))),
    }
}

/// How the environment is spelled in the editor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Pairs,
    Json,
}

impl Spelling {
    fn extension(self) -> &'static str {
        match self {
            Self::Pairs => "env",
            Self::Json => "json",
        }
    }
}

fn spelled(args: &EditArgs, variables: &Variables) -> (SecretBytes, Spelling) {
    if !args.json {
        match pairs::write(variables.iter().map(|(name, value)| (name, value.expose()))) {
            Ok(text) => return (text, Spelling::Pairs),
            Err(_) => ui::note("a value cannot be written as a pair, so this is JSON"),
        }
    }
    let mut text = versions::json(variables);
    (
        SecretBytes::new(std::mem::take(&mut *text).into_bytes()),
        Spelling::Json,
    )
}

/// One environment in one editor, as often as it takes.
struct Session<'a> {
    args: &'a EditArgs,
    item: &'a Item,
    opened: &'a Opened,
    before: Option<Variables>,
    spelling: Spelling,
    scratch: Scratch,
}

/// How far an edited file came.
enum Edited {
    Done,
    /// It cannot be published like this; the editor may help.
    Mistake(CliError),
}

impl Session<'_> {
    async fn run(self, signals: &mut Signals) -> Result<(), CliError> {
        loop {
            self.scratch.edit(signals).await?;
            let edited = tokio::select! {
                edited = self.publish() => edited?,
                () = signals.any() => return Err(interrupted("whether it was changed is not known").hint(
                    "look with `microsecrets history`",
                )),
            };
            let Edited::Mistake(error) = edited else { return Ok(()) };
            if !ui::can_confirm() {
                return Err(error);
            }
            error.report(Speaking::Plain);
            let again = tokio::select! {
                again = confirm("Open the editor again? What you wrote is still there.".to_owned()) => again,
                () = signals.any() => return Err(interrupted("nothing was changed")),
            };
            if !again {
                return Err(CliError::new(Status::Failure, "nothing was changed"));
            }
        }
    }

    async fn publish(&self) -> Result<Edited, CliError> {
        let after = match self.parsed() {
            Ok(after) => after,
            Err(error) => return Ok(Edited::Mistake(error)),
        };
        let mut edits = Edits::between(self.item.clone(), self.before.as_ref(), &after);
        if edits.is_empty() {
            ui::note("unchanged: nothing was written");
            return Ok(Edited::Done);
        }
        let args = &self.args.publish;
        loop {
            let outcome = apply_edits(self.opened, args, self.item, &ChangeKind::Edit, &mut edits).await?;
            let error = match outcome {
                Ok(outcome) => return self.print(outcome).map(|()| Edited::Done),
                Err(error) => error,
            };
            if let ItemError::Clash { name, .. } = &error
                && ui::can_confirm()
                && confirm(format!("{error}.\nOverwrite it with yours?")).await
            {
                edits.overwrite(name);
                continue;
            }
            let error = match error {
                // It is there, or may be: editing again does not help.
                ItemError::Unknown { .. } => return Err(error.into()),
                error => CliError::from(error).context_for_store(format!("cannot change the {}", self.item)),
            };
            return Ok(Edited::Mistake(error));
        }
    }

    fn print(&self, outcome: Outcome) -> Result<(), CliError> {
        let published = Published::of(outcome, self.item, self.opened)?;
        self.args.publish.print(&published, publish::changed(&published))
    }

    fn parsed(&self) -> Result<Variables, CliError> {
        let edited = self.scratch.read()?;
        let bytes = edited.expose();
        match self.spelling {
            Spelling::Json => {
                let variables = parse_flat_object(bytes).map_err(|error| {
                    CliError::usage(format!("the edited file: {error}")).hint("a flat object of strings is needed")
                })?;
                publish::check_names(&variables, self.args.any_name)?;
                Ok(variables)
            }
            Spelling::Pairs => {
                // Odd values are not warned of: most were odd before.
                let parsed = publish::parse_pairs(bytes, "the edited file", self.args.any_name)?;
                Variables::new(parsed.variables)
                    .map_err(|error| CliError::usage(format!("the edited file: {error}")).hint("leave it out"))
            }
        }
    }
}

/// Asks on a thread of its own: a blocked read of the terminal would not notice a signal.
async fn confirm(question: String) -> bool {
    let (answer, answered) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || answer.send(ui::confirm(&question)));
    answered.await.unwrap_or(false)
}
