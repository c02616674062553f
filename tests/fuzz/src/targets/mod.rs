//! The targets by the room whose readers they try.

mod chunk;
mod cloud;
mod docker;
mod mover;
mod repository;
mod tar;
mod words;

use crate::Target;

pub(crate) const ALL: &[Target] = &[
    Target { name: "tar_split", run: tar::split, seeds: tar::archives },
    Target { name: "tar_walk", run: tar::walk, seeds: tar::archives },
    Target { name: "tar_pax", run: tar::pax, seeds: tar::pax_bodies },
    Target { name: "tar_write", run: tar::write, seeds: tar::members },
    Target { name: "mover_read", run: mover::read, seeds: mover::trees },
    Target { name: "mover_header", run: mover::there_and_back, seeds: mover::entries },
    Target { name: "mover_restore", run: mover::restore, seeds: mover::trees },
    Target { name: "chunk_open", run: chunk::open, seeds: chunk::sealed },
    Target { name: "envelope", run: chunk::envelope, seeds: chunk::envelopes },
    Target { name: "slot_and_kit", run: chunk::slot_and_kit, seeds: chunk::slots_and_kits },
    Target { name: "pack_footer", run: repository::footer, seeds: repository::footers },
    Target { name: "index_segment", run: repository::segment, seeds: repository::segments },
    Target { name: "recipe", run: repository::recipe, seeds: repository::recipes },
    Target { name: "objects", run: repository::objects, seeds: repository::object_seeds },
    Target { name: "manifest", run: words::manifest, seeds: words::manifests },
    Target { name: "settings", run: words::settings, seeds: words::settings_seeds },
    Target { name: "enrolment", run: cloud::enrolment, seeds: cloud::bundles },
    Target { name: "docker_json", run: docker::capture, seeds: docker::hosts },
    Target { name: "mover_says", run: docker::mover, seeds: docker::conversations },
    Target { name: "image_archive", run: docker::image, seeds: docker::images },
    Target { name: "restore_plan", run: docker::plan, seeds: docker::plans },
];
