//! Taking over a site: files made after the published formats, into a real store.

use serde_json::json;

use crate::head::Head;

const XCAT: &str = "\
# <xCAT data object stanza file>

cn01:
    objtype=node
    arch=x86_64
    groups=compute,all
    ip=127.0.1.1
    mac=52:54:00:00:02:01!cn01|52:54:00:00:02:aa!*NOIP*

cn02:
    objtype=node
    groups=login
    ip=10.9.9.9
    mac=52:54:00:00:02:02

cn03:
    objtype=node
    groups=other
    ip=127.0.1.3
    mac=52:54:00:00:00:01

switch1:
    objtype=node
    groups=switch
    ip=127.0.1.250

evil\x1b[2J:
    objtype=node
    groups=other
    ip=127.0.1.4
    mac=52:54:00:00:02:04
";

const WAREWULF: &str = "\
nodeprofiles:
  default:
    image name: rocky-9
  disked: { tags: { rack: r7 } }
nodes:
  w1:
    profiles: [default, disked]
    asset key: inv-1
    network devices:
      default: { hwaddr: '52:54:00:00:03:01', ipaddr: 127.0.2.1/8 }
  w2:
    profiles: [disked]
    network devices:
      default: { ipaddr: 127.0.2.2 }
";

const KUSU: &str = "\
CREATE TABLE `nodes` (`nid` int, `ngid` int, `name` varchar(45), `kernel` varchar(255), `state` varchar(20),
  `rack` int, `rank` int, `uid` varchar(45), PRIMARY KEY (`nid`));
INSERT INTO `nodes` VALUES (1,1,'head',NULL,'Installed',0,0,NULL),(2,3,'compute-00-00',NULL,'Installed',0,0,'abc'),
  (3,9,'printer',NULL,'Expired',NULL,NULL,NULL);
CREATE TABLE `nics` (`nicsid` int, `nid` int, `netid` int, `mac` varchar(45), `ip` varchar(20), `boot` int);
INSERT INTO `nics` VALUES (1,1,1,NULL,'127.0.0.1',0),(2,2,1,'52:54:00:00:04:02','127.0.3.2',1),
  (3,2,2,NULL,'10.200.0.2',0),(4,3,1,NULL,'127.0.3.99',0);
CREATE TABLE `nodegroups` (`ngid` int, `ngname` varchar(45), `installtype` varchar(20));
INSERT INTO `nodegroups` VALUES (1,'installer','package'),(3,'compute-imaged','disked'),(9,'unmanaged','unmanaged');
CREATE TABLE `networks` (`netid` int, `device` varchar(20));
INSERT INTO `networks` VALUES (1,'eth0'),(2,'eth1');
CREATE TABLE `kits` (`kid` int);
INSERT INTO `kits` VALUES (1);
";

/// Kusu's XML as its CGI answers it.
const NII: &str = "<?xml version=\"1.0\"?><nii><debug></debug><nodeinfo name=\"compute-00-07\" installers=\"127.0.0.1\" \
    repo=\"/repos/1\" ostype=\"centos-5-x86_64\" installtype=\"disked\" nodegrpid=\"3\" ngtype=\"compute-imaged\" repoid=\"1\" \
    dbpasswd=\"hunter2\" cfmsecret=\"hunter3\">\
    <nicinfo device=\"eth0\" ip=\"127.0.3.7\" subnet=\"255.0.0.0\" network=\"127.0.0.0\" suffix=\"\" gateway=\"\" dhcp=\"0\" \
    options=\"\" boot=\"1\" mac=\"52:54:00:00:04:07\"/></nodeinfo></nii>";

#[test]
fn xcat_stanzas_become_nodes_and_hosts() {
    let head = Head::new();
    let file = head.file("xcat.stanza", XCAT);
    let args = ["import-site", "xcat", &file, "--map", "compute=disked", "--group", "diskless"];
    let shown = head.ok(&[&args[..], &["--dry-run"]].concat());
    for line in [
        "+ node cn01 group disked mac 52:54:00:00:02:01 address 127.0.1.1 network lo\n",
        "+ host switch1 address 127.0.1.250 network lo\n",
        "- cn02 is not added: its address 10.9.9.9 is in no network",
        "- cn03 is not added: its MAC address 52:54:00:00:00:01 is another's already",
        "  not carried over of cn01: interface 52:54:00:00:02:aa\n",
        "  not carried over of cn01: arch\n",
        "- evil\\u{1b}[2J is not added",
        "1 nodes and 1 hosts to add, 3 machines not added\n",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    assert_eq!(head.json(&["node", "list"]).as_array().unwrap().len(), 1, "nothing is changed yet");
    head.ok(&[&args[..], &["--yes"]].concat());
    let node = head.json(&["node", "show", "cn01"]);
    assert_eq!((&node["group"], &node["address"]), (&json!("disked"), &json!("127.0.1.1")));
    assert_eq!(node["overrides"]["attributes"]["groups"], "compute,all");
    assert_eq!(node["state"], "local", "it runs what it has");
    assert!(head.ok(&["boot", "show", "cn01"]).contains("cn01 boots its local disk"));
    let again = head.refused(&[&args[..], &["--yes"]].concat());
    assert!(again.contains("cn01 is not added: its name is taken already"), "{again}");
    assert!(again.contains("none of these machines can be added"), "{again}");
}

#[test]
fn warewulfs_nodes_have_what_their_profiles_say() {
    let head = Head::new();
    let file = head.file("nodes.conf", WAREWULF);
    let args = ["import-site", "warewulf", &file, "--yes"];
    let output = head.run(&args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("w2 is not added: has no MAC address: `headnode addhost` finds it"), "{said}");
    assert!(said.contains("not carried over: profile default: image name"), "{said}");
    let node = head.json(&["node", "show", "w1"]);
    assert_eq!(
        (&node["group"], &node["uid"], &node["address"]),
        (&json!("disked"), &json!("inv-1"), &json!("127.0.2.1"))
    );
    assert_eq!(node["overrides"]["attributes"], json!({"groups": "default", "rack": "r7"}));
}

#[test]
fn kusus_tables_and_niis() {
    let head = Head::new();
    let dump = head.file("kusudb.sql", KUSU);
    let nii = head.file("nii.xml", NII);
    let maps = ["--map", "compute-imaged=disked", "--map", "ngid-3=disked"];
    let report = head.json(&[&["import-site", "kusu", &dump, &nii, "--dry-run"][..], &maps].concat());
    let names = |key: &str| -> Vec<String> {
        report[key].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("nodes"), ["compute-00-07", "compute-00-00"]);
    assert_eq!((names("hosts"), names("refused")), (vec!["printer".to_owned()], vec!["head".to_owned()]));
    assert_eq!(report["left"][0]["what"], "interface eth1 (10.200.0.2)");
    assert_eq!(report["left_of_site"], json!(["table kits, 1 rows"]));
    assert!(!report.to_string().contains("hunter"), "secrets stay there");
    head.ok(&[&["import-site", "kusu", &dump, &nii, "--yes"][..], &maps].concat());
    let node = head.json(&["node", "show", "compute-00-00"]);
    assert_eq!((&node["uid"], &node["mac"]), (&json!("abc"), &json!("52:54:00:00:04:02")));
    assert_eq!(node["overrides"]["attributes"]["rack"], "0");

    let nodes = head.file("nodes.csv", "nid,ngid,name\n1,3,\"compute-01-00\"\n");
    let nics = head.file("nics.csv", "nid,netid,mac,ip,boot\n1,1,52:54:00:00:05:00,127.0.5.0,1\n");
    head.ok(&["import-site", "kusu", &nodes, &nics, "--map", "ngid-3=disked", "--yes"]);
    assert_eq!(head.json(&["node", "show", "compute-01-00"])["address"], "127.0.5.0");
}

#[test]
fn files_of_another_kind_are_refused() {
    let head = Head::new();
    let file = head.file("hello", "hello\n");
    for format in ["kusu", "warewulf", "xcat"] {
        let said = head.refused(&["import-site", format, &file]);
        assert!(said.contains(&file), "{format}: {said}");
    }
    let xcat = head.file("xcat", XCAT);
    let said = head.refused(&["import-site", "xcat", &xcat, "--group", "none"]);
    assert!(said.contains("there is no group `none`"), "{said}");
    assert_eq!(head.run(&["import-site", "rocks", &file]).status.code(), Some(2));
}
