//! Reading the version that a person means.

use microsecrets::document::{Document, Variables};
use microsecrets::item::{Access, ItemError, Presence, Reader, Row, Version, VersionContent, VersionSpec};
use microsecrets::layout::Item;
use zeroize::Zeroizing;

use crate::config::Opened;
use crate::error::{CliError, Status};

/// How many versions are listed where the one that was said is not there.
const CANDIDATES: usize = 5;

/// Reads a version, verified; what is not there, or not clear, is answered with what there is.
pub(crate) async fn read(opened: &Opened, item: &Item, spec: &VersionSpec) -> Result<Version, CliError> {
    read_with(Reader::new(opened.access(item)), spec).await
}

/// The same, however old the version is: for who looks at the past, or brings it back.
pub(crate) async fn read_past(opened: &Opened, item: &Item, spec: &VersionSpec) -> Result<Version, CliError> {
    let is_said = *spec != VersionSpec::Current;
    read_with(Reader::new(opened.access(item)).past(is_said), spec).await
}

/// The same, by a reader that may look for what 0.3.4 wrote.
pub(crate) async fn read_with(reader: Reader<'_>, spec: &VersionSpec) -> Result<Version, CliError> {
    let read = async || reader.read(&reader.access.resolve(spec).await?).await;
    match read().await {
        Ok(version) => Ok(version),
        Err(error) => Err(explained(reader.access, error).await),
    }
}

/// Reads an environment, verified, however old it is.
pub(crate) async fn environment_past(opened: &Opened, item: &Item, spec: &VersionSpec) -> Result<Document, CliError> {
    let version = read_past(opened, item, spec).await?;
    crate::ui::notes(&version.notes);
    document(version.content)
}

/// The document of an environment's version.
pub(crate) fn document(content: VersionContent) -> Result<Document, CliError> {
    match content {
        VersionContent::Environment(document) => Ok(document),
        _ => Err(CliError::new(
            Status::Failure,
            "the store answered a file for an environment",
        )),
    }
}

/// An object, two blanks deep, in the order of the document.
pub(crate) fn json(variables: &Variables) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::from("{"));
    for (position, (name, value)) in variables.iter().enumerate() {
        text.push_str(if position == 0 { "\n  " } else { ",\n  " });
        text.push_str(&serde_json::Value::from(name).to_string());
        text.push_str(": ");
        text.push_str(&Zeroizing::new(serde_json::Value::from(value.expose()).to_string()));
    }
    text.push_str(if variables.is_empty() { "}\n" } else { "\n}\n" });
    text
}

async fn explained(access: Access<'_>, error: ItemError) -> CliError {
    let candidates = match &error {
        ItemError::Ambiguous { candidates, .. } => {
            let said = candidates
                .iter()
                .map(|name| format!("sha:{:.16} of {}", name.checksum().to_string(), name.second()));
            Some(format!("say more of it: {}", said.collect::<Vec<_>>().join(", ")))
        }
        ItemError::NoSuchNumber { .. } | ItemError::NoSuchVersion { .. } => newest(access).await,
        _ => None,
    };
    let error = CliError::from(error).context_for_store(format!("cannot read the {}", access.item));
    match candidates {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The newest versions, if they can be told.
async fn newest(access: Access<'_>) -> Option<String> {
    let page = access.history(None, CANDIDATES).await.ok()?;
    let said: Vec<String> = page.rows.iter().filter_map(said).collect();
    let more = page.next.map_or("", |_| ", and older ones (`microsecrets history`)");
    (!said.is_empty()).then(|| format!("there is {}{more}", said.join(", ")))
}

fn said(row: &Row) -> Option<String> {
    let name = row.name.as_ref()?;
    let checksum = match row.bytes {
        Presence::Deletion => "a deletion".to_owned(),
        _ => format!("sha:{}", name.checksum().short()),
    };
    Some(match row.number {
        Some(number) => format!("{number} ({checksum}, {})", name.second()),
        None => format!("{checksum} ({})", name.second()),
    })
}
