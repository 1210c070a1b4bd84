import subprocess,sys,socket,time,json,threading,statistics
MODES=(sys.argv[-1] if False else __import__('os').environ['MODES']).split(',')
THREADS=int(__import__('os').environ.get('THREADS','2'))
def load(port, req, n, threads=None):
    lat=[]; threads=THREADS
    def run():
        s=socket.create_connection(("127.0.0.1",port)); s.setsockopt(6,1,1)
        for _ in range(n):
            t=time.perf_counter(); s.sendall(req)
            d=b""
            while b"\r\n\r\n" not in d: d+=s.recv(65536)
            h,_,b=d.partition(b"\r\n\r\n")
            L=int([x for x in h.split(b"\r\n") if x.lower().startswith(b"content-length")][0].split(b":")[1])
            while len(b)<L: b+=s.recv(65536)
            assert h.split()[1] in (b"200",b"201"), (h,b)
            lat.append(time.perf_counter()-t)
        s.close()
    t=time.perf_counter(); ts=[threading.Thread(target=run) for _ in range(threads)]
    [x.start() for x in ts]; [x.join() for x in ts]
    return n*threads/(time.perf_counter()-t), statistics.median(lat)*1000
def test_perf(books, empty):
    num=books.record().json["id"]
    body=json.dumps(books.transaction()).encode()
    auth=f"Authorization: Bearer {books.client.key}\r\n".encode()
    reqs={"health":b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
      "read":b"GET /api/transactions/%d HTTP/1.1\r\nHost: a\r\n"%num+auth+b"\r\n",
      "write":b"POST /api/transactions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"+auth+b"Content-Length: %d\r\n\r\n"%len(body)+body}
    reqs["write+key"]=None
    procs={}
    for mode in MODES:
        p=subprocess.Popen([sys.executable,"/tmp/perf.py",mode,str(empty.storage.root)],stderr=subprocess.PIPE,stdout=open(f"/tmp/perf_{mode}.log","w"),text=True)
        procs[mode]=(p,int(p.stderr.readline().split()[1]))
    del reqs["write+key"]
    for name,req in reqs.items():
        r={m:[] for m in MODES}
        for i in range(6):
            for mode,(p,port) in procs.items():
                x=load(port,req,600 if i else 100)
                if i: r[mode].append(x)
        b=statistics.median(x[0] for x in r["bare"])
        for m in MODES:
            o=statistics.median(x[0] for x in r[m]); print(f"{name}: {m} {o:.0f}/s p50 {statistics.median(x[1] for x in r[m]):.2f}ms ratio {o/b:.2f} extra {1e6/o-1e6/b:.0f}us")
    for p,_ in procs.values():
        import os
        pid=p.pid
        kids=[int(k) for k in open(f"/proc/{pid}/task/{pid}/children").read().split()]
        def pss(x): return sum(int(l.split()[1]) for l in open(f"/proc/{x}/smaps_rollup") if l.startswith("Pss:"))//1024
        print([pss(x) for x in [pid,*kids]],"MB pss")
        p.terminate(); p.wait()
