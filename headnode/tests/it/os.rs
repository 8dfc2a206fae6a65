//! Distributions: an ISO by xorriso with repositories by createrepo_c, imported, served, and read by curl and dnf.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::distribution::{TREEINFO, dvd, repository, run, text, treeinfo};
use crate::head::{Head, MAC};
use crate::machine::{Machine, plain};

/// All of a group that `os` needs.
const GROUP: &str = "os = \"rocky9\"

[install]
type = \"package\"

[[storage.disks]]
name = \"system\"
select = { pick = \"first\" }
partitions = [{ label = \"bios\", type = \"bios-boot\", size_mib = 1 }, { label = \"root\", type = \"root\" }]

[[storage.filesystems]]
device = \"root\"
format = \"xfs\"
mount = \"/\"
";

/// The DVD, its ISO imported as `rocky9`, and a group of it with the node n1.
fn imported() -> (Head, PathBuf) {
    let mut head = Head::new();
    let folder = dvd(&head);
    let iso = head.path("dvd.iso");
    run(Command::new("xorriso")
        .args(["-as", "mkisofs", "-quiet", "-R", "-J", "-V", "Rocky-9-6-x86_64-dvd", "-o", text(&iso)])
        .arg(&folder));
    head.ok(&["os", "import", "rocky9", text(&iso), "--segment", &head.file("segment", "our segment")]);
    head.ok(&["group", "add", "rocky", "--file", &head.file("rocky.toml", GROUP)]);
    head.ok(&["node", "set", "n1", "--group", "rocky"]);
    head.serve();
    (head, folder)
}

/// The URL of the tree that n1 is given.
fn tree(head: &Head) -> String {
    let nii: Value = serde_json::from_str(&head.ok(&["nii", "n1"])).unwrap();
    nii["package"]["source"]["url"].as_str().unwrap().to_owned()
}

#[test]
fn an_iso_is_netboot_source_and_release() {
    let (head, folder) = imported();
    head.ok(&["boot", "install", "n1"]);
    let tree = tree(&head);
    assert!(tree.starts_with(&format!("{}/os/rocky9~", head.http)), "{tree}");
    let nii: Value = serde_json::from_str(&head.ok(&["nii", "n1"])).unwrap();
    let package = &nii["package"];
    assert_eq!(package["os"], json!({"family": "rhel", "version": "9.6", "arch": "x86_64"}));
    let appstream =
        json!([{"name": "AppStream", "source": {"url": format!("{tree}/AppStream")}, "install": false}]);
    assert_eq!(package["repositories"], appstream);
    let script = head.script(MAC, "pcbios");
    assert!(script.contains(&format!(" inst.stage2={tree} ")) && script.contains("segment.img"), "{script}");
    let line = script.lines().find(|line| line.starts_with("kernel")).unwrap();
    let kernel = line.split(' ').find(|word| word.starts_with("http")).unwrap();
    assert_eq!(plain().get(kernel).send().unwrap().bytes().unwrap(), b"a kernel"[..]);
    for path in [".treeinfo", "images/install.img", "BaseOS/inside", "AppStream/repodata/repomd.xml"] {
        let served = plain().get(format!("{tree}/{path}")).send().unwrap().bytes().unwrap();
        assert_eq!(served, fs::read(folder.join(path)).unwrap(), "{path}");
    }
    let long =
        plain().get(format!("{tree}/A%20Name.of-Rock_Ridge's%20own,%20long%20and%20Mixed")).send().unwrap();
    assert_eq!(long.text().unwrap(), "here");
    let modified =
        |folder: &Path| fs::metadata(folder.join("images/install.img")).unwrap().modified().unwrap();
    let shown = head.json(&["os", "show", "rocky9"]);
    let copy = PathBuf::from(shown["folder"].as_str().unwrap());
    let seconds = |folder: &Path| modified(folder).duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(seconds(&copy), seconds(&folder), "an ISO has no fractions");
    assert_eq!(shown["repositories"][1]["url"], format!("{}/os/rocky9/AppStream", head.http));
}

#[test]
fn dnf_reads_the_repositories() {
    let (head, _) = imported();
    let tree = tree(&head);
    for folder in ["root-of-dnf", "log-of-dnf"] {
        fs::create_dir(head.path(folder)).unwrap();
    }
    for (repository, package) in [("BaseOS", "camphor-base"), ("AppStream", "camphor-app")] {
        let mut dnf = Command::new("dnf");
        dnf.args([
            "--quiet",
            "--releasever=9",
            "--setopt=reposdir=/dev/null",
            "--setopt=pluginpath=/dev/null",
        ])
        .arg(format!("--installroot={}", text(&head.path("root-of-dnf"))))
        .arg(format!("--setopt=cachedir={}", text(&head.path("cache-of-dnf"))))
        .arg(format!("--setopt=logdir={}", text(&head.path("log-of-dnf"))))
        .arg(format!("--repofrompath=x,{tree}/{repository}"))
        .args(["--repo=x", "--nogpgcheck", "repoquery", "--location"]);
        let said = run(&mut dnf);
        assert!(said.contains(&format!("{tree}/{repository}/Packages/c/{package}.rpm")), "{said}");
        let get = ["--fail", "--silent", "--show-error", "--output", text(&head.path("x.rpm")), said.trim()]
            .map(str::to_owned);
        run(Command::new("curl").args(get));
        assert!(run(Command::new("rpm").args(["-qp", text(&head.path("x.rpm"))])).starts_with(package));
    }
}

/// Status, header lines, and body as curl has them.
fn curl(url: &str, options: &[&str]) -> (u16, String, Vec<u8>) {
    let output = Command::new("curl")
        .args(["--silent", "--path-as-is", "--globoff", "--max-time", "30", "--dump-header", "/dev/stderr"])
        .args(options)
        .arg(url)
        .output()
        .unwrap();
    let headers = String::from_utf8(output.stderr).unwrap().to_ascii_lowercase();
    let status = headers.split(' ').nth(1).unwrap_or_else(|| panic!("{url}: {headers}")).parse().unwrap();
    (status, headers, output.stdout)
}

#[test]
fn ranges_are_served_of_what_did_not_change() {
    let (head, folder) = imported();
    let whole = fs::read(folder.join("images/install.img")).unwrap();
    let url = format!("{}/os/rocky9/images/install.img", head.http);
    let (status, headers, body) = curl(&url, &[]);
    assert!(status == 200 && body == whole && headers.contains("content-length: 1000003\r\n"), "{headers}");
    let header = |name: &str| {
        let line = headers.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("{name} in {headers}")).trim().to_owned()
    };
    let (etag, range) = (header("etag"), ["--range", "1000-1999"]);
    let last = curl(&url, &["--head"]).1;
    assert!(
        last.contains("content-length: 1000003\r\n") && last.contains("accept-ranges: bytes\r\n"),
        "{last}"
    );
    let (status, part, body) = curl(&url, &range);
    assert_eq!((status, body.as_slice()), (206, &whole[1000..2000]));
    assert!(
        part.contains("content-range: bytes 1000-1999/1000003\r\n")
            && part.contains("content-length: 1000\r\n")
    );
    assert_eq!(curl(&url, &["--range", "-3"]).2, whole[1_000_000..]);
    assert_eq!(curl(&url, &["--range", "1000000-"]).2, whole[1_000_000..]);
    let (status, beyond, _) = curl(&url, &["--range", "1000003-"]);
    assert!(status == 416 && beyond.contains("content-range: bytes */1000003\r\n"), "{beyond}");
    let (status, _, body) = curl(&url, &["--range", "0-1,5-6"]);
    assert!(status == 200 && body == whole, "several ranges: the whole");
    let headers = String::from_utf8(curl(&url, &["--head"]).2).unwrap();
    let modified = headers.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("last-modified").then(|| value.trim().to_owned())
    });
    let modified = modified.unwrap_or_else(|| panic!("no date: {headers}"));
    for (condition, status, length) in [
        (format!("If-Range: {etag}"), 206, 1000),
        (format!("If-Range: {modified}"), 206, 1000),
        ("If-Range: \"other\"".to_owned(), 200, whole.len()),
        ("If-Range: Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), 200, whole.len()),
        (format!("If-None-Match: {etag}"), 304, 0),
    ] {
        let (is, _, body) = curl(&url, &[&range[..], &["--header", &condition]].concat());
        assert_eq!((is, body.len()), (status, length), "{condition}");
    }
    assert_eq!(curl(&url, &["--request", "POST"]).0, 405);
}

#[test]
fn nothing_outside_of_a_tree_is_served() {
    let (head, folder) = imported();
    head.ok(&["os", "import", "linked", text(&folder), "--link"]);
    // After the import, which would refuse them.
    for (name, leads) in [("up", "../../data/keys/ca.key"), ("root", "/"), ("self", "/proc/self/environ")] {
        std::os::unix::fs::symlink(leads, folder.join("images").join(name)).unwrap();
    }
    assert_eq!(curl(&format!("{}/os/linked/images/install.img", head.http), &[]).0, 200);
    let tree = tree(&head);
    let folder_of_tree = tree.rsplit('/').next().unwrap();
    for path in [
        "linked/images/up",
        "linked/images/root",
        "linked/images/root/etc/passwd",
        "linked/images/self",
        "linked/../../keys/ca.key",
        "linked/..%2f..%2fkeys%2fca.key",
        "linked/%2e%2e/%2e%2e/camphor.db",
        "linked/images/%2e%2e/%2e%2e/%2e%2e/camphor.db",
        "linked//etc/passwd",
        "linked/%2fetc%2fpasswd",
        "linked/images/install.img%00",
        "linked/",
        "linked",
        "linked/images",
        "linked/images/",
        "nothing/.treeinfo",
        "rocky9~00000000/.treeinfo",
        "..~../camphor.db",
        "%2e%2e~x/camphor.db",
        "%2e%2e/camphor.db",
        "linked~..%2f..%2fkeys/ca.key",
        &format!("{folder_of_tree}/../../keys/ca.key"),
        &format!("{folder_of_tree}/images"),
    ] {
        let (status, _, body) = curl(&format!("{}/os/{path}", head.http), &[]);
        assert_eq!(status, 404, "{path}: {}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn what_is_missing_or_wrong_is_refused_and_nothing_stays() {
    let head = Head::new();
    let folder = dvd(&head);
    let refused = |source: &Path| head.refused(&["os", "import", "rocky9", text(source)]);
    let without = |path: &str, said: &str| {
        let aside = head.path("aside");
        fs::rename(folder.join(path), &aside).unwrap();
        let refusal = refused(&folder);
        assert!(refusal.contains(said) && refusal.contains(path), "{path}: {refusal}");
        fs::rename(aside, folder.join(path)).unwrap();
    };
    without(".treeinfo", "is no install tree: there is no .treeinfo");
    without("images/pxeboot/vmlinuz", "the kernel is not there");
    without("images/pxeboot/initrd.img", "the initrd is not there");
    without("images/install.img", "the second stage is not there");
    without("AppStream/repodata/repomd.xml", "names the repository AppStream");
    let primary = fs::read_dir(folder.join("BaseOS/repodata")).unwrap().map(|entry| entry.unwrap().path());
    let primary = primary.into_iter().find(|path| text(path).contains("primary.xml")).unwrap();
    without(text(primary.strip_prefix(&folder).unwrap()), "is the mirror copied whole?");
    let whole = fs::read(&primary).unwrap();
    fs::write(&primary, &whole[..whole.len() / 2]).unwrap();
    assert!(refused(&folder).contains("has the SHA-256"));
    fs::write(&primary, whole).unwrap();
    fs::write(folder.join("images/install.img"), "half").unwrap();
    let refusal = refused(&folder);
    assert!(
        refusal.contains("images/install.img has the SHA-256") && refusal.contains("copy it again"),
        "{refusal}"
    );
    treeinfo(&folder, &TREEINFO.replace("repository = BaseOS", "repository = ../BaseOS"));
    assert!(refused(&folder).contains("[variant-BaseOS] repository: `../BaseOS` leads out"));
    treeinfo(&folder, TREEINFO);
    std::os::unix::fs::symlink("../../data", folder.join("AppStream/out")).unwrap();
    assert!(refused(&folder).contains("AppStream/out leads out of the tree"));
    fs::remove_file(folder.join("AppStream/out")).unwrap();
    let iso = head.file("no.iso", "no iso");
    let refusal = refused(Path::new(&iso));
    assert!(refusal.contains("no.iso is neither a folder nor an ISO"), "{refusal}");
    assert!(refused(&head.path("nowhere")).contains("opening"));
    let refusal = head.refused(&["os", "import", "rocky9", &iso, "--link"]);
    assert!(refusal.contains("only a folder can be served where it is"), "{refusal}");
    assert!(head.refused(&["os", "import", "../x", text(&folder)]).contains("is no name for a os"));
    assert_eq!(head.json(&["os", "list"]), json!([]));
    assert_eq!(fs::read_dir(head.data().join("os")).unwrap().count(), 0);
    head.ok(&["os", "import", "rocky9", text(&folder)]);
}

/// As mirrors have it: the repositories side by side, `.treeinfo` in one of them.
#[test]
fn a_mirror_is_served_where_it_is() {
    let mut head = Head::new();
    let (dvd, mirror) = (dvd(&head), head.path("mirror"));
    let base = mirror.join("BaseOS/x86_64/os");
    for name in ["BaseOS", "AppStream"] {
        fs::create_dir_all(mirror.join(name).join("x86_64")).unwrap();
        fs::rename(dvd.join(name), mirror.join(name).join("x86_64/os")).unwrap();
    }
    fs::remove_file(base.join("inside")).unwrap();
    repository(&mirror.join("CRB/x86_64/os"), "crb");
    fs::rename(dvd.join("images"), base.join("images")).unwrap();
    let text_of_it =
        TREEINFO.replace("repository = AppStream\ntype", "repository = ../../../AppStream/x86_64/os/\ntype");
    treeinfo(&base, &text_of_it.replace("repository = BaseOS", "repository = ."));
    let refusal = head.refused(&["os", "import", "rocky9", text(&base), "--link"]);
    assert!(refusal.contains("leads out of what is imported: import the folder above"), "{refusal}");
    head.ok(&["os", "import", "rocky9", text(&mirror), "--link", "--segment", &head.file("segment", "ours")]);
    head.ok(&["group", "add", "rocky", "--file", &head.file("rocky.toml", GROUP)]);
    head.ok(&["node", "set", "n1", "--group", "rocky"]);
    head.serve();
    let tree = tree(&head);
    assert!(tree.ends_with("/BaseOS/x86_64/os"), "{tree}");
    let nii: Value = serde_json::from_str(&head.ok(&["nii", "n1"])).unwrap();
    let repositories = nii["package"]["repositories"].as_array().unwrap();
    assert_eq!(
        (repositories.len(), &repositories[0]["name"]),
        (1, &json!("AppStream")),
        "CRB is not used unasked"
    );
    for url in
        [format!("{tree}/images/install.img"), format!("{tree}/../../../CRB/x86_64/os/repodata/repomd.xml")]
    {
        assert_eq!(plain().get(&url).send().unwrap().status(), 200, "{url}");
    }
    let crb = head.json(&["os", "show", "rocky9"])["repositories"][2].clone();
    assert_eq!((&crb["name"], &crb["used"]), (&json!("CRB"), &json!(false)));
    head.ok(&["node", "set", "n1", "--group", "disked"]);
    head.ok(&["group", "rm", "rocky"]);
    head.ok(&["os", "rm", "rocky9"]);
    assert!(base.join("images/install.img").exists(), "the site's mirror stays");
    assert_eq!(plain().get(format!("{tree}/images/install.img")).send().unwrap().status(), 404);
    assert_eq!(fs::read_dir(head.data().join("os")).unwrap().count(), 0);
}

#[test]
fn a_node_that_is_being_installed_keeps_its_tree() {
    let (head, folder) = imported();
    head.ok(&["boot", "install", "n1"]);
    let old = tree(&head);
    let mut machine = Machine::new(&head);
    machine.begin(&head);
    machine.opened_nii(&head);
    assert_eq!(head.state("n1"), "installing");
    fs::write(folder.join("media.repo"), "newer").unwrap();
    head.ok(&["os", "import", "rocky9", text(&folder)]);
    let new = tree(&head);
    assert_ne!(old, new);
    assert!(head.ok(&["boot", "show", "n1"]).contains("segment.img"), "the segment is the one from before");
    let status =
        |tree: &str, path: &str| plain().get(format!("{tree}/{path}")).send().unwrap().status().as_u16();
    assert_eq!(
        (status(&new, "media.repo"), status(&old, "media.repo"), status(&old, ".treeinfo")),
        (200, 404, 200)
    );
    assert_eq!(
        status(&format!("{}/os/rocky9", head.http), "media.repo"),
        200,
        "the bare name means the new one"
    );
    let folder_of = |tree: &str| head.data().join("os").join(tree.rsplit('/').next().unwrap());
    let age = |tree: &str| {
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
        fs::File::open(folder_of(tree)).unwrap().set_modified(time).unwrap();
    };
    // Two hours pass, and the node is still at it since before.
    age(&old);
    head.sql("UPDATE nodes SET since = since - 7300000 WHERE name = 'n1'");
    head.ok(&["os", "import", "other", text(&folder), "--link"]);
    assert_eq!(status(&old, ".treeinfo"), 200);
    machine.send(vec![machine.event(1, machine.installed())]).unwrap();
    head.ok(&["os", "import", "other", text(&folder), "--link"]);
    assert_eq!((status(&old, ".treeinfo"), status(&new, ".treeinfo")), (404, 200));
}

#[test]
fn an_os_in_use_is_not_removed() {
    let (head, _) = imported();
    for (command, said) in [
        (["os", "rm", "rocky9"], "the group rocky uses the os rocky9"),
        (["netboot", "rm", "rocky9"], "is that of the os rocky9: headnode os rm rocky9"),
        (["os", "rm", "rocky8"], "there is no os `rocky8`"),
        (["os", "show", "rocky8"], "there is no os `rocky8`"),
    ] {
        let refusal = head.refused(&command);
        assert!(refusal.contains(said), "{refusal}");
    }
    head.ok(&["node", "set", "n1", "--group", "disked", "rescue.netboot=rocky9"]);
    head.ok(&["group", "rm", "rocky"]);
    assert!(head.refused(&["os", "rm", "rocky9"]).contains("the node n1 uses the os rocky9"));
    head.ok(&["node", "unset", "n1", "rescue"]);
    head.ok(&["os", "rm", "rocky9"]);
    assert_eq!(head.json(&["os", "list"]), json!([]));
    assert!(!head.ok(&["netboot", "list"]).contains("rocky9"));
    assert_eq!(fs::read_dir(head.data().join("os")).unwrap().count(), 0);
}

#[test]
fn each_default_can_be_overridden_and_says_where_it_is_from() {
    let (head, _) = imported();
    let values = |command: [&str; 4]| {
        let values = head.json(&command);
        move |key: &str| {
            let found = values.as_array().unwrap().iter().find(|value| value["key"] == key);
            let found = found.unwrap_or_else(|| panic!("{key} in {values}"));
            (found["value"].clone(), found["from"].as_str().unwrap().to_owned())
        }
    };
    let tree = tree(&head);
    let of_os = || "os rocky9".to_owned();
    let group = values(["group", "show", "rocky", "--effective"]);
    assert_eq!(group("os"), (json!("rocky9"), "group rocky".into()));
    assert_eq!(group("netboot"), (json!("rocky9"), of_os()));
    assert_eq!(group("package.os.version"), (json!("9.6"), of_os()));
    assert_eq!(group("package.source.url"), (json!(tree), of_os()));
    assert_eq!(group("package.repositories").1, of_os());
    assert_eq!(group("package.selinux"), (json!("enforcing"), "default".into()));
    head.add_stock("own", &["--segment", &head.file("s", "own segment")]);
    head.ok(&["node", "set", "n1", "package.source.url=http://10.1.0.9/mirror", "netboot=own"]);
    let node = values(["node", "show", "n1", "--effective"]);
    assert_eq!(node("netboot"), (json!("own"), "node".into()));
    assert_eq!(node("package.source.url"), (json!("http://10.1.0.9/mirror"), "node".into()));
    assert_eq!(node("package.stage2"), (json!(tree), of_os()), "it goes with the kernel");
    assert_eq!(node("package.os.arch"), (json!("x86_64"), of_os()));
    let nii: Value = serde_json::from_str(&head.ok(&["nii", "n1"])).unwrap();
    assert_eq!(
        nii["package"].get("repositories").unwrap_or(&json!([])),
        &json!([]),
        "those of another source"
    );
    assert_eq!(
        head.json(&["group", "list"])
            .as_array()
            .unwrap()
            .iter()
            .find(|group| group["name"] == "rocky")
            .unwrap()["os"],
        "rocky9"
    );
}

#[test]
fn documents_that_name_no_os_that_is_there_are_refused() {
    let (head, _) = imported();
    for (from, to, said) in [
        ("os = \"rocky9\"", "os = \"rocky8\"", "x.toml:1:1: os: there is no os `rocky8`"),
        ("type = \"package\"", "type = \"diskless\"", "x.toml:1:1: os: is for package installs"),
        (
            "os = \"rocky9\"\n",
            "package.selinux = \"permissive\"\n",
            "package: `source` is needed, or, for all of it",
        ),
    ] {
        let refusal = head.refused(&[
            "group",
            "set",
            "rocky",
            "--file",
            &head.file("x.toml", &GROUP.replace(from, to)),
        ]);
        assert!(refusal.contains(said), "{refusal}");
    }
}

#[test]
fn a_store_is_exported_with_its_oses() {
    let (head, _) = imported();
    let text = head.ok(&["export", "--secrets"]);
    assert!(text.contains("oses:") && text.contains("Rocky Linux 9.6"), "{text}");
    let other = Head::with_ports(8080, 8443);
    let file = other.file("all.yaml", &text);
    let output = other.run(&["import", &file]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("os rocky9: copy os/rocky9~"), "{said}");
    assert_eq!(other.json(&["os", "list"]), head.json(&["os", "list"]));
    let bad = text.replace("version: ", "version: ../../").replace("camphor: ../../1", "camphor: 1");
    assert!(
        other.refused(&["import", &other.file("bad.yaml", &bad)]).contains("is no name for a os's version")
    );
}
