//! Signing what is written, and showing what is not signed before it is built upon.

use clap::Args;
use microsecrets::diff::Difference;
use microsecrets::document::Variables;
use microsecrets::item::{Unsigned, Version, VersionContent, Writer};
use microsecrets::layout::Item;

use crate::commands::diff;
use crate::config::Opened;
use crate::error::CliError;
use crate::publish::confirmed;
use crate::ui;

/// Options of every command that writes a version or its record.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Signature")]
pub(crate) struct SignArgs {
    /// Sign with the service's own key: alias/microsecrets-signing/SERVICE; in a folder, the folder's
    #[arg(long, conflicts_with = "sign_with")]
    sign: bool,
    /// Sign with this KMS key, by ARN, id or alias; needs --verify-key for its public key
    #[arg(long, value_name = "KEY")]
    sign_with: Option<String>,
    /// Build on a current version that is not signed by a pinned key, this time: shows what it changes, by names, and
    /// asks
    #[arg(long)]
    adopt: bool,
}

impl SignArgs {
    /// A writer of an item, which signs if it is told to and has asked what it may build upon.
    pub(crate) async fn writer<'a>(
        &self,
        opened: &'a Opened,
        item: &'a Item,
        yes: bool,
    ) -> Result<Writer<'a>, CliError> {
        let mut writer = opened.writer(item)?;
        writer.sign_with = self.key(opened, item)?;
        if self.adopt {
            writer.adopt = adopted(opened, item, yes).await?;
        }
        Ok(writer)
    }

    /// Whether what is not signed is shown and asked about.
    pub(crate) fn adopts(&self) -> bool {
        self.adopt
    }

    /// The name of the key that signs.
    fn key(&self, opened: &Opened, item: &Item) -> Result<Option<String>, CliError> {
        let in_contract = opened.contract.as_ref().and_then(|contract| contract.sign_with.clone());
        if opened.folder_keys.is_some() {
            return match &self.sign_with {
                Some(_) => Err(CliError::usage("a folder has one key that signs").hint("say --sign without a key")),
                None => Ok((self.sign || in_contract.is_some()).then(|| "the folder's signing key".to_owned())),
            };
        }
        match (self.sign, self.sign_with.clone().or(in_contract)) {
            (true, _) => opened.default_signing_key(item).map(Some),
            (false, key) => Ok(key),
        }
    }
}

/// Shows the current version that no pinned key vouches for, and asks; answers what was accepted.
async fn adopted(opened: &Opened, item: &Item, yes: bool) -> Result<Vec<microsecrets::checksum::Checksum>, CliError> {
    let failed = |error| CliError::from(error).context_for_store(format!("cannot read the {item}"));
    let access = opened.access(item);
    let Some(unsigned) = access.unsigned().await.map_err(failed)? else {
        ui::note(format_args!("there is nothing to adopt: the {item} is signed, or new"));
        return Ok(Vec::new());
    };
    let signed = access.last_signed().await.map_err(failed)?;
    show(item, &unsigned, signed.as_ref());
    confirmed(
        yes,
        &format!("Build on this version of the {item}, though it is not signed?"),
    )?;
    Ok(unsigned.accepts)
}

/// Tells by names what an unsigned version changes.
fn show(item: &Item, unsigned: &Unsigned, signed: Option<&Version>) {
    let compared = match signed.and_then(|version| version.facts.number()) {
        Some(number) => format!("what it changes since version {number}, the last signed one"),
        None => "no signed version is left, so this is all it has".to_owned(),
    };
    let Some(version) = &unsigned.version else {
        return ui::warn(format_args!("no pinned key has signed the deletion of the {item}"));
    };
    let said = match version.facts.number() {
        Some(number) => format!("version {number} of the {item}"),
        None => format!("the last upload of 0.3.4 to the {item}"),
    };
    ui::warn(format_args!("no pinned key has signed {said}; {compared}:"));
    match (&version.content, signed.map(|version| &version.content)) {
        (VersionContent::Environment(after), before) => {
            let none = Variables::default();
            let before = match before {
                Some(VersionContent::Environment(before)) => &before.variables,
                _ => &none,
            };
            let difference = Difference::between(before, &after.variables);
            match difference.is_empty() {
                true => ui::tell("(nothing)"),
                false => diff::tell(&difference),
            }
        }
        _ => match signed {
            Some(signed) => diff::tell_file(&signed.facts, &version.facts),
            None => ui::tell(format_args!(
                "+ {} bytes, sha256 {}",
                version.facts.size,
                version.facts.name.checksum()
            )),
        },
    }
}
