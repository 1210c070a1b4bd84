from tests.api.test_document import *
def test_show(server, books):
    import subprocess,sys
    r = subprocess.run([sys.executable,"-m","schemathesis.cli","--config-file",HERE/"schemathesis.toml","run",f"{server.url}/openapi.json","--header",f"Authorization: Bearer {books.client.key}","--max-examples","40","--generation-deterministic","--continue-on-failure","--no-color","--checks","all"],capture_output=True,text=True,cwd=HERE.parents[1])
    print(r.stdout[-6000:], r.stderr[-2000:])
    import collections,re
    c=collections.Counter(re.sub(r"/\d+ ","/N ",re.sub(r"[\d.]+ms.*","",l.split(" api ",1)[1])).strip()[:60] for l in server.log.read_text().splitlines())
    for k,v in sorted(c.items()): print(v,k)
    print(len(server.log.read_text().splitlines()))
