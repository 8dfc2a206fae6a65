//! Volume groups: which bytes of which physical volume a logical volume is.

use anyhow::{Context as _, ensure};

use super::text::{self, Section, Value};

/// Unit of `extent_size` and `pe_start`.
const SECTOR: u64 = 512;
/// More volumes than this are not believed.
const VOLUMES_MAX: usize = 4096;
/// LVM's names of types are words.
const KIND_MAX: usize = 32;

/// A group, as one text describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Counts the texts: the highest is valid.
    pub seqno: u64,
    /// The ids of its physical volumes, without dashes.
    pub physical: Vec<String>,
    /// Size of an extent in bytes.
    pub extent: u64,
    /// Extents that no volume has.
    pub free: u64,
    /// The volumes that people see; not those that others are made of.
    pub volumes: Vec<Volume>,
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Where its bytes are.
    pub layout: Layout,
    /// Extents of physical volumes that it takes, with those of the hidden volumes that it is made of.
    pub extents: u64,
    /// The pool of a thin one.
    pub pool: Option<String>,
    /// The volume that it is a snapshot of.
    pub origin: Option<String>,
}

/// Where the bytes of a volume are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One after another in these; two that adjoin are one.
    Linear(Vec<Run>),
    /// Not simply somewhere, for this reason: words that go on after "is".
    Other(String),
}

/// A run of bytes of a physical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The physical volume's id, without dashes.
    pub volume: String,
    /// The first byte, from the physical volume's own start.
    pub start: u64,
    /// Bytes.
    pub length: u64,
}

/// The extents of a physical volume.
struct Extents<'a> {
    name: &'a str,
    id: String,
    start: u64,
    count: u64,
}

/// Understands a text.
///
/// # Errors
/// When it does not describe a group. A single volume that makes no sense is [`Layout::Other`].
pub fn parse(text: &str) -> anyhow::Result<Group> {
    let whole = text::parse(text)?;
    let (name, group) = whole.sections().next().context("LVM's text has no group")?;
    let bytes = |section: &Section<'_>, field: &str| section.number(field)?.checked_mul(SECTOR);
    let extent = bytes(group, "extent_size").filter(|size| *size > 0);
    let extent = extent.with_context(|| format!("the group {name} has no size of extents"))?;
    let physical = group.section("physical_volumes").into_iter().flat_map(Section::sections);
    let physical = physical.map(|(name, volume)| {
        let id = volume.text("id")?.replace('-', "");
        Some(Extents { name, id, start: bytes(volume, "pe_start")?, count: volume.number("pe_count")? })
    });
    let physical = physical.collect::<Option<Vec<_>>>();
    let physical = physical.with_context(|| format!("a physical volume of the group {name} has no place"))?;
    let logical = || group.section("logical_volumes").into_iter().flat_map(Section::sections);
    let merging: Vec<&str> = logical().filter_map(|(_, volume)| merged(volume)).collect();
    let volume = |(name, section): (&str, &Section<'_>)| Volume {
        name: name.to_owned(),
        layout: match merging.contains(&name) {
            true => Layout::Other("being merged with its snapshot".to_owned()),
            false => layout(section, &physical, extent),
        },
        extents: taken(section, &physical),
        pool: segments(section).find_map(|segment| segment.text("thin_pool")).map(str::to_owned),
        origin: logical().find_map(|(beside, other)| origin(name, beside, other)).map(str::to_owned),
    };
    let mut volumes: Vec<Volume> = logical().filter(|(_, volume)| is_visible(volume)).map(volume).collect();
    ensure!(volumes.len() <= VOLUMES_MAX, "the group {name} has more than {VOLUMES_MAX} volumes");
    for (name, section) in logical().filter(|(_, volume)| !is_visible(volume)) {
        if let Some(owner) = owner(name, &mut volumes) {
            owner.extents = owner.extents.saturating_add(taken(section, &physical));
        }
    }
    let all = physical.iter().fold(0, |sum: u64, volume| sum.saturating_add(volume.count));
    let free = logical().fold(all, |free, (_, volume)| free.saturating_sub(taken(volume, &physical)));
    let (id, seqno) = (group.text("id"), group.number("seqno"));
    let (id, seqno) = id.zip(seqno).with_context(|| format!("the group {name} has no id or no number"))?;
    let physical = physical.into_iter().map(|volume| volume.id).collect();
    Ok(Group { id: id.to_owned(), name: name.to_owned(), seqno, physical, extent, free, volumes })
}

/// Extents of physical volumes that a volume has itself.
fn taken(volume: &Section<'_>, physical: &[Extents<'_>]) -> u64 {
    let extents = |segment: &Section<'_>| {
        let Some([Value::Text(on), ..]) = segment.list("stripes") else { return None };
        physical.iter().find(|volume| volume.name == *on)?;
        segment.number("extent_count")
    };
    segments(volume).filter_map(extents).fold(0, u64::saturating_add)
}

/// The volume that a hidden one is part of: LVM calls those of `pool` `pool_tdata` and `pool_tmeta`.
fn owner<'v>(hidden: &str, volumes: &'v mut [Volume]) -> Option<&'v mut Volume> {
    let is_part = |volume: &&mut Volume| {
        hidden.strip_prefix(volume.name.as_str()).is_some_and(|rest| rest.starts_with('_'))
    };
    volumes.iter_mut().filter(is_part).max_by_key(|volume| volume.name.len())
}

fn segments<'s, 'a>(volume: &'s Section<'a>) -> impl Iterator<Item = &'s Section<'a>> {
    volume.sections().filter(|(name, _)| name.starts_with("segment")).map(|(_, segment)| segment)
}

/// The volume that a snapshot is being merged into, if this describes such a snapshot.
fn merged<'a>(volume: &Section<'a>) -> Option<&'a str> {
    let merging = segments(volume).find(|segment| segment.text("merging_store").is_some())?;
    merging.text("origin")
}

/// The volume that `name` is a snapshot of, if the volume `beside` says it: a thin one says it of itself, of others a volume
/// says it that people do not see.
fn origin<'a>(name: &str, beside: &str, volume: &Section<'a>) -> Option<&'a str> {
    let says = |segment: &&Section<'a>| match segment.text("type") {
        Some("snapshot") => segment.text("cow_store") == Some(name),
        _ => beside == name,
    };
    segments(volume).find(says)?.text("origin")
}

/// Whether people see it. What describes a snapshot (beside the volume that holds its data) is no volume.
fn is_visible(volume: &Section<'_>) -> bool {
    let status = volume.list("status").unwrap_or_default();
    status.iter().any(|flag| flag.text() == Some("VISIBLE"))
        && !segments(volume).any(|segment| segment.text("type") == Some("snapshot"))
}

fn layout(volume: &Section<'_>, physical: &[Extents<'_>], extent: u64) -> Layout {
    let mut segments: Vec<&Section<'_>> = segments(volume).collect();
    segments.sort_by_key(|segment| segment.number("start_extent"));
    let mut runs: Vec<Run> = Vec::new();
    let mut next = Some(0);
    for segment in segments {
        if let Some(why) = not_linear(segment) {
            return Layout::Other(why);
        }
        let follows = next.is_some() && segment.number("start_extent") == next;
        let Some(run) = run(segment, physical, extent).filter(|_| follows) else {
            return Layout::Other("a volume whose segments make no sense".to_owned());
        };
        next = next.zip(segment.number("extent_count")).and_then(|(at, count)| at.checked_add(count));
        match runs.last_mut() {
            Some(last) if last.volume == run.volume && last.start + last.length == run.start => {
                last.length += run.length;
            }
            _ => runs.push(run),
        }
    }
    if runs.is_empty() { Layout::Other("a volume without segments".to_owned()) } else { Layout::Linear(runs) }
}

/// Why a segment is not simply a run. LVM calls one linear that is striped over one.
fn not_linear(segment: &Section<'_>) -> Option<String> {
    let kind = segment.text("type").unwrap_or("unknown");
    match (kind, segment.number("stripe_count")) {
        ("striped", Some(1)) => None,
        ("striped", _) => Some("a striped volume, which is not put together here".to_owned()),
        _ if kind.len() <= KIND_MAX
            && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-+".contains(&byte)) =>
        {
            Some(format!("a volume of type {kind}, which is not put together here"))
        }
        _ => Some("a volume of an unknown type".to_owned()),
    }
}

/// `None` if it is not on a physical volume of this group, or beyond its end.
fn run(segment: &Section<'_>, physical: &[Extents<'_>], extent: u64) -> Option<Run> {
    let [Value::Text(on), first] = segment.list("stripes")? else { return None };
    let (first, count) = (first.number()?, segment.number("extent_count")?);
    let on = physical.iter().find(|volume| volume.name == *on)?;
    let end = first.checked_add(count).filter(|end| count > 0 && *end <= on.count)?;
    // The end of all, so that no sum of parts overflows.
    on.start.checked_add(end.checked_mul(extent)?)?;
    Some(Run { volume: on.id.clone(), start: on.start + first * extent, length: count * extent })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A group of two physical volumes of 100 extents of 4 MiB, and of these segments in one volume.
    fn group(segments: &str) -> String {
        format!(
            r#"rhel {{ id = "G" seqno = 3 extent_size = 8192
            physical_volumes {{
                pv0 {{ id = "a-b" pe_start = 2048 pe_count = 100 }} pv1 {{ id = "c" pe_start = 2048 pe_count = 100 }}
            }}
            logical_volumes {{
                root {{ status = ["READ", "VISIBLE"] segment_count = 1 {segments} }}
                root_rimage_0 {{ status = ["READ"] segment1 {{ type = "error" }} }}
            }} }}"#
        )
    }

    fn segment(number: u64, start: u64, count: u64, on: &str, first: u64) -> String {
        format!(
            r#"segment{number} {{ start_extent = {start} extent_count = {count} type = "striped" stripe_count = 1
            stripes = ["{on}", {first}] }} "#
        )
    }

    fn layout_of(segments: &str) -> Layout {
        let group = parse(&group(segments)).unwrap();
        assert_eq!((group.name.as_str(), group.seqno, group.volumes.len()), ("rhel", 3, 1));
        group.volumes[0].layout.clone()
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn segments_that_adjoin_are_one_run() {
        let run = |volume: &str, start: u64, extents: u64| Run {
            volume: volume.into(),
            start: MIB + start * 4 * MIB,
            length: extents * 4 * MIB,
        };
        let linear = |runs: &[Run]| Layout::Linear(runs.to_vec());
        assert_eq!(layout_of(&segment(1, 0, 10, "pv0", 90)), linear(&[run("ab", 90, 10)]));
        let two = segment(2, 10, 5, "pv0", 10) + &segment(1, 0, 10, "pv0", 0);
        assert_eq!(layout_of(&two), linear(&[run("ab", 0, 15)]), "also when they are not in order");
        let apart = segment(1, 0, 10, "pv0", 0) + &segment(2, 10, 5, "pv0", 11);
        assert_eq!(layout_of(&apart), linear(&[run("ab", 0, 10), run("ab", 11, 5)]));
        let across = segment(1, 0, 10, "pv0", 0) + &segment(2, 10, 5, "pv1", 10);
        assert_eq!(layout_of(&across), linear(&[run("ab", 0, 10), run("c", 10, 5)]));
    }

    #[test]
    fn what_is_not_linear_is_said() {
        let why = |segments: &str| match layout_of(segments) {
            Layout::Other(why) => why,
            Layout::Linear(runs) => panic!("{runs:?}"),
        };
        assert!(why(r#"segment1 { type = "thin" }"#).contains("of type thin"));
        assert!(why(r#"segment1 { type = "striped" stripe_count = 2 }"#).contains("a striped volume"));
        assert!(why("segment1 { type = \"\u{1b}[2J\" }").contains("unknown type"));
        assert!(why(&segment(1, 0, 11, "pv0", 90)).contains("make no sense"), "beyond the end");
        assert!(why(&segment(1, 1, 1, "pv0", 0)).contains("make no sense"), "with a hole");
        assert!(
            why(&segment(1, 0, 1, "pvmove0", 0)).contains("make no sense"),
            "on what is no physical volume"
        );
        assert!(why(&segment(1, 0, u64::MAX, "pv0", 1)).contains("make no sense"));
        assert!(why("").contains("without segments"));
    }

    #[test]
    fn a_snapshot_leaves_its_origin_alone_until_it_is_merged() {
        let with = |store: &str| {
            let text = group(&segment(1, 0, 1, "pv0", 0)).replace(
                "root_rimage_0 {",
                &format!(
                    r#"snapshot0 {{ status = ["VISIBLE"] segment1 {{ type = "snapshot" origin = "root" {store} = "s" }} }}
                    root_rimage_0 {{"#
                ),
            );
            let group = parse(&text).unwrap();
            assert_eq!(group.volumes.len(), 1);
            group.volumes[0].layout.clone()
        };
        assert!(matches!(with("cow_store"), Layout::Linear(_)));
        assert!(matches!(with("merging_store"), Layout::Other(why) if why.contains("merged")));
    }

    #[test]
    fn snapshots_know_their_origins() {
        let text = group(&segment(1, 0, 10, "pv0", 0)).replace(
            "root_rimage_0 {",
            &format!(
                r#"old {{ status = ["VISIBLE"] {} }}
                snapshot0 {{ status = ["VISIBLE"] segment1 {{ type = "snapshot" origin = "root" cow_store = "old" }} }}
                thin {{ status = ["VISIBLE"] segment1 {{ type = "thin" thin_pool = "pool" origin = "other" }} }}
                root_rimage_0 {{"#,
                segment(1, 0, 1, "pv0", 10),
            ),
        );
        let group = parse(&text).unwrap();
        let volumes = group.volumes.iter().map(|v| (v.name.as_str(), v.origin.as_deref()));
        let wanted = [("root", None), ("old", Some("root")), ("thin", Some("other"))];
        assert_eq!(volumes.collect::<Vec<_>>(), wanted);
    }

    /// As lvmthin(7) makes them: the pool has no extents but those of its parts, and a thin volume none at all.
    #[test]
    fn extents_of_pools_are_those_of_their_hidden_parts() {
        let text = group(&segment(1, 0, 10, "pv0", 0)).replace(
            "root_rimage_0 {",
            &format!(
                r#"pool {{ status = ["READ", "VISIBLE"] segment1 {{ type = "thin-pool" extent_count = 40 }} }}
                pool_tmeta {{ status = ["READ"] {} }}
                pool_tdata {{ status = ["READ"] {} }}
                thin {{ status = ["VISIBLE"] segment1 {{ type = "thin" extent_count = 999 thin_pool = "pool" }} }}
                root_rimage_0 {{"#,
                segment(1, 0, 1, "pv0", 10),
                segment(1, 0, 40, "pv1", 0)
            ),
        );
        let group = parse(&text).unwrap();
        let volumes = group.volumes.iter().map(|v| (v.name.as_str(), v.extents, v.pool.as_deref()));
        let wanted = [("root", 10, None), ("pool", 41, None), ("thin", 0, Some("pool"))];
        assert_eq!(volumes.collect::<Vec<_>>(), wanted);
        assert_eq!((group.extent, group.free), (4 * MIB, 200 - 51));
    }

    #[test]
    fn what_is_no_group() {
        let error = |text: &str| format!("{:#}", parse(text).unwrap_err());
        assert!(error("version = 1").contains("no group"));
        assert!(error("vg { }").contains("no size of extents"));
        assert!(error("vg { extent_size = 18446744073709551615 }").contains("no size of extents"));
        assert!(
            error(r#"vg { extent_size = 8192 physical_volumes { pv0 { id = "a" } } }"#).contains("no place")
        );
        assert!(error("vg { extent_size = 8192 }").contains("no id"));
    }

    proptest! {
        /// Any numbers: runs within their physical volumes, or none.
        #[test]
        fn hostile_numbers(numbers in prop::collection::vec(prop_oneof![0..200_u64, any::<u64>()], 8)) {
            let [a, b, c, d, e, f, g, h] = numbers[..] else { unreachable!() };
            let text = group(&(segment(1, 0, a, "pv0", b) + &segment(2, c, d, "pv0", e)))
                .replace("extent_size = 8192", &format!("extent_size = {f}"))
                .replace("pe_start = 2048", &format!("pe_start = {g}"))
                .replace("pe_count = 100", &format!("pe_count = {h}"));
            let Ok(group) = parse(&text) else { return Ok(()) };
            if let Layout::Linear(runs) = &group.volumes[0].layout {
                for run in runs {
                    let end = g * SECTOR + h * f * SECTOR;
                    prop_assert!(run.start >= g * SECTOR && run.start + run.length <= end);
                }
            }
        }
    }
}
