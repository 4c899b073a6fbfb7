//! Signing what is written, and showing what is not signed before it is built upon.

use clap::Args;
use microsecrets::checksum::Checksum;
use microsecrets::diff::Difference;
use microsecrets::document::Variables;
use microsecrets::item::{Access, Reader, Version, VersionContent, VersionSpec, Writer};
use microsecrets::layout::Item;

use crate::commands::diff;
use crate::config::Opened;
use crate::error::CliError;
use crate::ui::confirmed;
use crate::{ui, versions};

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

/// A version whose content is to be published again. One that no pinned key vouches for is shown and asked about, if
/// that was said.
pub(crate) async fn source(
    opened: &Opened,
    item: &Item,
    spec: &VersionSpec,
    sign: &SignArgs,
    yes: bool,
) -> Result<Version, CliError> {
    match versions::read_past(opened, item, spec).await {
        Err(error) if error.is_of_signature() && sign.adopt => {}
        read => return read,
    }
    let checks = opened.checks.without_signatures();
    let access = Access {
        checks: &checks,
        ..opened.access(item)
    };
    let version = versions::read_with(Reader::new(access).past(true), spec).await?;
    show(item, Some(&version), last_signed(opened, item).await?.as_ref());
    confirmed(
        yes,
        &format!("Publish this version of the {item}, though it is not signed?"),
    )?;
    Ok(version)
}

/// Shows the current version that no pinned key vouches for, and asks; answers what was accepted.
async fn adopted(opened: &Opened, item: &Item, yes: bool) -> Result<Vec<Checksum>, CliError> {
    let unsigned = opened.access(item).unsigned().await;
    let unsigned =
        unsigned.map_err(|error| CliError::from(error).context_for_store(format!("cannot read the {item}")))?;
    let Some(unsigned) = unsigned else {
        return Ok(Vec::new());
    };
    show(
        item,
        unsigned.version.as_ref(),
        last_signed(opened, item).await?.as_ref(),
    );
    confirmed(
        yes,
        &format!("Build on this version of the {item}, though it is not signed?"),
    )?;
    Ok(unsigned.accepts)
}

async fn last_signed(opened: &Opened, item: &Item) -> Result<Option<Version>, CliError> {
    let signed = opened.access(item).last_signed().await;
    signed.map_err(|error| CliError::from(error).context_for_store(format!("cannot read the log of the {item}")))
}

/// Tells by names what an unsigned version changes; without one it is a deletion.
fn show(item: &Item, unsigned: Option<&Version>, signed: Option<&Version>) {
    let Some(version) = unsigned else {
        return ui::warn(format_args!("no pinned key has signed the deletion of the {item}"));
    };
    let said = match version.facts.number() {
        Some(number) => format!("version {number} of the {item}"),
        None => format!("the last upload of 0.3.4 to the {item}"),
    };
    let compared = match signed.and_then(|version| version.facts.number()) {
        Some(number) => format!("compared with version {number}, the newest signed one, it changes"),
        None => "no signed version is left; it has".to_owned(),
    };
    ui::warn(format_args!("no pinned key has signed {said}; {compared}:"));
    let none = Variables::default();
    match (&version.content, signed.map(|version| &version.content)) {
        (VersionContent::Environment(after), before) => {
            let before = match before {
                Some(VersionContent::Environment(before)) => &before.variables,
                _ => &none,
            };
            match Difference::between(before, &after.variables) {
                difference if difference.is_empty() => ui::tell("(nothing)"),
                difference => diff::tell(&difference),
            }
        }
        _ => diff::tell_file(signed.map(|version| &version.facts), &version.facts),
    }
}
