"""A stand-in for an old Kusu head node: its web server, with the nodeboot.cgi that it had.

    kusu.py ADDRESS FOLDER [NODE]

FOLDER is what the web server has beside the CGI; FOLDER/nodeinfo is what the CGI knows of the node at the address NODE.
Written from what is known of its behaviour, faults included: nothing is escaped, a node that is not known gets the
status 200 and a document without <nodeinfo>, and who asks is told apart by address only.
"""

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ADDRESS, FOLDER = sys.argv[1:3]
NODE = sys.argv[3] if len(sys.argv) > 3 else None


class Kusu(SimpleHTTPRequestHandler):
    def do_GET(self):
        if urlsplit(self.path).path == "/repos/nodeboot.cgi":
            self.nodeboot(parse_qs(urlsplit(self.path).query))
        else:
            super().do_GET()

    def nodeboot(self, asked):
        body = '<?xml version="1.0"?>\n<nii>\n<debug>Dumping for: ' + self.client_address[0] + " & Co\n</debug>\n"
        if self.client_address[0] == NODE and asked.get("dump") == ["1"]:
            with open(FOLDER + "/nodeinfo") as known:
                body += known.read()
        if asked.get("getindex") == ["1"]:
            body += "<cfm>CFMBaseDir=/cfm\n</cfm>\n"
        body = (body + "</nii>\n").encode()
        self.send_response(200)
        self.send_header("Content-type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer((ADDRESS, 80), partial(Kusu, directory=FOLDER))
print("Serving HTTP", flush=True)
server.serve_forever()
