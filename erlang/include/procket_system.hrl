%% The system that the headers are for: linux, darwin or freebsd. The build of the port program writes this line anew on another
%% system than Linux.
-ifndef(PROCKET_SYSTEM).
-define(PROCKET_SYSTEM, linux).
-endif.
