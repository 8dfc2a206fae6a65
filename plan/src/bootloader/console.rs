//! The serial console that the kernel arguments name, for boot loaders that have a terminal of their own.

/// A serial port: `console=ttyS1,115200n8` of `Documentation/admin-guide/serial-console.rst`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Serial {
    pub unit: u32,
    pub speed: u32,
}

/// The last serial console of the arguments: it is the one that the kernel makes /dev/console.
pub(super) fn serial(kernel_args: &[String]) -> Option<Serial> {
    kernel_args.iter().rev().find_map(|argument| {
        let value = argument.strip_prefix("console=ttyS")?;
        let (unit, options) = value.split_once(',').unwrap_or((value, ""));
        let digits = options.find(|c: char| !c.is_ascii_digit()).unwrap_or(options.len());
        // The kernel's own default where the argument names no speed.
        let speed = options[..digits].parse().unwrap_or(9600);
        Some(Serial { unit: unit.parse().ok()?, speed })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_serial_console_counts() {
        let serial = |args: &[&str]| serial(&args.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(
            serial(&["console=tty0", "console=ttyS1,115200n8"]),
            Some(Serial { unit: 1, speed: 115_200 })
        );
        assert_eq!(serial(&["console=ttyS0"]), Some(Serial { unit: 0, speed: 9600 }));
        assert_eq!(serial(&["console=ttyS0,38400", "console=tty0"]), Some(Serial { unit: 0, speed: 38400 }));
        assert_eq!(serial(&["console=hvc0", "quiet"]), None);
    }
}
