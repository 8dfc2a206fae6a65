//! What is asked of `nodeboot.cgi`, and how a node says who and in what state it is.

use sha1::{Digest as _, Sha1};

/// The program that asks; Kusu's two ask with different parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The package flow (`nodeinstaller`).
    Installer,
    /// The image flow (`imageinit`).
    ImageInit,
}

/// URL of the NII. Asking for it says that the install began.
///
/// A state is always sent along: a plain dump makes the CGI connect as a user that it does not have.
pub fn nii_url(cgi: &str, client: Client, uid: &str) -> String {
    match client {
        Client::Installer => format!("{cgi}?dump=1&getindex=1&state=Installing&uid={uid}"),
        Client::ImageInit => format!("{cgi}?dump=1&state=Installing&boot=&uid={uid}"),
    }
}

/// URL of the report that the node is installed. With `from_disk` the head node lets it boot from its disk from now on;
/// a diskless node goes on booting from the network.
pub fn installed_url(cgi: &str, from_disk: bool, uid: &str) -> String {
    let boot = if from_disk { "&boot=disk" } else { "" };
    format!("{cgi}?state=Installed{boot}&uid={uid}")
}

/// Kusu's uid of a machine: SHA-1, in hexadecimal, of its lowest MAC address as a decimal number. `None` without one.
pub fn uid<'m>(macs: impl IntoIterator<Item = &'m str>) -> Option<String> {
    let number = |mac: &str| {
        let bytes: Vec<&str> = mac.split(':').collect();
        let right = bytes.len() == 6 && bytes.iter().all(|byte| byte.len() == 2);
        right.then(|| u64::from_str_radix(&bytes.concat(), 16).ok()).flatten().filter(|number| *number != 0)
    };
    let lowest = macs.into_iter().filter_map(number).min()?;
    let hash = Sha1::digest(lowest.to_string().as_bytes());
    Some(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uid_is_of_the_lowest_address_in_decimal() {
        // printf %d 0x525400000001 | sha1sum
        let uid = uid(["52:54:00:00:00:02", "00:00:00:00:00:00", "nonsense", "52:54:00:00:00:01"]);
        assert_eq!(uid.unwrap(), "f36de43825de683927d5ceffd6535ecffe523bd9");
        assert_eq!(super::uid(["00:00:00:00:00:00"]), None);
    }

    #[test]
    fn the_urls_of_the_two_programs() {
        let cgi = "http://10.1.0.1/repos/nodeboot.cgi";
        assert_eq!(
            nii_url(cgi, Client::Installer, "ab"),
            "http://10.1.0.1/repos/nodeboot.cgi?dump=1&getindex=1&state=Installing&uid=ab"
        );
        assert_eq!(
            nii_url(cgi, Client::ImageInit, "ab"),
            "http://10.1.0.1/repos/nodeboot.cgi?dump=1&state=Installing&boot=&uid=ab"
        );
        assert_eq!(
            installed_url(cgi, true, "ab"),
            "http://10.1.0.1/repos/nodeboot.cgi?state=Installed&boot=disk&uid=ab"
        );
        assert_eq!(
            installed_url(cgi, false, "ab"),
            "http://10.1.0.1/repos/nodeboot.cgi?state=Installed&uid=ab"
        );
    }
}
