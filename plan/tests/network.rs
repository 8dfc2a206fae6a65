//! The node's own network: what the NII makes of its interfaces.

mod support;

use plan::facts::Lease;
use plan::network::{as_wanted, modules};
use serde_json::json;
use support::diskless;

#[test]
fn interfaces_become_what_the_nii_says() {
    let mut case = diskless();
    case.nii["modules"] = json!([{"name": "bonding", "options": "max_bonds=0"}, {"name": "nfs"}]);
    case.nii["network"]["interfaces"] = json!([
        {"match": {"name": "eth1"}, "mtu": 9000, "ipv6": {"static": {"address": "fd00::5", "prefix": 64, "gateway": "fd00::1"}},
         "ipv4": {"static": {"address": "10.0.0.5", "prefix": 24, "gateway": "10.0.0.1",
                             "routes": [{"to": "10.9.0.0", "prefix": 16, "via": "10.0.0.9"}]}}},
        {"match": {"mac": support::MAC}, "ipv4": "dhcp"},
    ]);
    let nii = case.nii();
    let ops: Vec<String> =
        modules(&nii).iter().chain(&as_wanted(&case.facts, &nii).unwrap()).map(ToString::to_string).collect();
    let expected = [
        "load module bonding with max_bonds=0",
        "load module nfs",
        "configure eth1 mtu 9000 10.0.0.5/24 fd00::5/64 10.9.0.0/16 via 10.0.0.9 0.0.0.0/0 via 10.0.0.1 ::/0 via fd00::1",
        "configure eth0 dhcp",
        "use name servers 10.0.0.1",
    ];
    assert_eq!(ops, expected);
}

#[test]
fn without_name_servers_of_its_own_the_node_keeps_those_of_dhcp() {
    let mut case = diskless();
    case.nii["network"].as_object_mut().unwrap().remove("dns");
    assert!(
        as_wanted(&case.facts, &case.nii())
            .unwrap()
            .iter()
            .all(|op| !op.to_string().contains("name servers"))
    );
    let lease = Lease {
        address: [10, 0, 0, 9].into(),
        prefix: 24,
        gateway: None,
        dns: vec![[10, 0, 0, 2].into(), [10, 0, 0, 2].into()],
    };
    case.facts.nics[1].lease = Some(lease);
    let ops = as_wanted(&case.facts, &case.nii()).unwrap();
    assert_eq!(ops.last().unwrap().to_string(), "use name servers 10.0.0.2");
}
