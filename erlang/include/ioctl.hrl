%% Requests of ioctl(2), of the running platform: sys/ioctl.h.

-ifndef(IO).
-define(IO(G, N), (procket_ioctl:io(G, N))).
-endif.
-ifndef(IOR).
-define(IOR(G, N, Size), (procket_ioctl:ior(G, N, Size))).
-endif.
-ifndef(IOW).
-define(IOW(G, N, Size), (procket_ioctl:iow(G, N, Size))).
-endif.
-ifndef(IOWR).
-define(IOWR(G, N, Size), (procket_ioctl:iowr(G, N, Size))).
-endif.
