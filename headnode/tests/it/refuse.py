# Reads a kickstart as releases do, and prints for each what it would do: its commands, and its scripts.
import sys

from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion

text = sys.stdin.read()
for release in sys.argv[1:]:
    handler = makeVersion(release)
    KickstartParser(handler).readKickstartFromString(text)
    # Ways of display are one command with several names.
    commands = {str(command).strip() for command in handler.commands.values() if command and command.seen}
    scripts = [(script.type == 0, script.errorOnFail, script.inChroot) for script in handler.scripts]
    print(release, sorted(commands), scripts)
