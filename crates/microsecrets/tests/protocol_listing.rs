//! What there is: services, items, and what 0.3.4 wrote last, found by listings alone.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use microsecrets::item::*;
use microsecrets::name::ServiceName;

const NAME: &str = "2026-11-23.08-00-00.ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";

async fn items(world: &World, service: &str) -> Vec<String> {
    let service: ServiceName = service.parse().unwrap();
    let items = items_of(&world.memory.client(), &service).await.unwrap();
    items.iter().map(|item| item.kind().to_string()).collect()
}

#[tokio::test]
async fn services_and_items_are_found_whoever_wrote_them() {
    let world = World::environment("api");
    for key in [
        "elsewhere/x".to_owned(),
        "services/README".to_owned(),
        format!("services/old/environment/{NAME}.json"),
        "services/new/head/environment".to_owned(),
        "services/new/head/file/ours".to_owned(),
        format!("services/new/files/of-0.3.4/{NAME}"),
        format!("services/new/files/both/{NAME}"),
        "services/new/head/file/both".to_owned(),
        "services/new/files/no-version".to_owned(),
        "services/only-a-log/log/environment/00000001".to_owned(),
    ] {
        world.memory.put_raw(&key, b"x", None);
    }
    let names = services(&world.memory.client()).await.unwrap();
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["new", "old", "only-a-log"]);
    assert_eq!(items(&world, "old").await, ["environment"]);
    assert_eq!(items(&world, "only-a-log").await, [""; 0]);
    assert_eq!(items(&world, "none").await, [""; 0]);
    let found = items(&world, "new").await;
    assert_eq!(found, ["environment", "file/both", "file/of-0.3.4", "file/ours"]);
}

#[tokio::test]
async fn what_0_3_4_wrote_last_is_found_among_ours() {
    let world = World::with_values(&["1"]).await;
    let last = || async { world.process().access().last_legacy_write().await.unwrap() };
    assert_eq!(last().await, None);
    let key = world.legacy(&legacy_document(&[("A", "legacy")]));
    world.tick(1);
    world.process().upload(&[("A", "2")]).await.unwrap();
    world.tick(1);
    world.process().upload(&[("A", "3")]).await.unwrap();
    assert_eq!(last().await, world.item.version_at(&key));
    assert!(last().await.is_some());
}
