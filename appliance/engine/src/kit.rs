//! The recovery kit: printed from the repository's key, confirmed by a person.

use crate::house::House;
use holdfast_chunk::Kit;
use holdfast_model::{Result, view::KitView};

/// The kit as it is to be printed now. Holds the recovery key: never log it.
pub fn view(house: &House) -> KitView {
    let (settings, repository) = (house.settings(), house.repository());
    let kit = Kit {
        repository: repository.id(),
        bucket: settings.bucket.as_ref().map(|bucket| bucket.url.to_string()),
        key: repository.recovery_key().0.into(),
        appliance: settings.appliance.clone(),
        made: Some(house.now()),
    };
    KitView { text: kit.render(), file_name: format!("holdfast-kit-{}.txt", repository.id().short()) }
}

/// Somebody says that the kit is stored safely.
pub async fn confirm(house: &House) -> Result<()> {
    let now = house.now();
    house
        .change_settings(|settings| {
            settings.kit_confirmed.get_or_insert(now);
            Ok(())
        })
        .await
}
