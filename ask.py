import socket
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.connect(('127.0.0.1',17777)); s.settimeout(1)
for i in range(3):
    s.send(b'helloabc')
    try: print(s.recv(100))
    except Exception as e: print(e)
