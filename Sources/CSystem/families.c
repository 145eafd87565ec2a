#include <sys/socket.h>

#include "constants.h"

static const struct procket_constant table[] = {
#ifdef AF_ALG
    {"alg", AF_ALG},
#endif
#ifdef AF_APPLETALK
    {"appletalk", AF_APPLETALK},
#endif
#ifdef AF_ASH
    {"ash", AF_ASH},
#endif
#ifdef AF_ATMPVC
    {"atmpvc", AF_ATMPVC},
#endif
#ifdef AF_ATMSVC
    {"atmsvc", AF_ATMSVC},
#endif
#ifdef AF_AX25
    {"ax25", AF_AX25},
#endif
#ifdef AF_BLUETOOTH
    {"bluetooth", AF_BLUETOOTH},
#endif
#ifdef AF_BRIDGE
    {"bridge", AF_BRIDGE},
#endif
#ifdef AF_CAIF
    {"caif", AF_CAIF},
#endif
#ifdef AF_CAN
    {"can", AF_CAN},
#endif
#ifdef AF_DEC
    {"dec", AF_DEC},
#endif
#ifdef AF_ECONET
    {"econet", AF_ECONET},
#endif
#ifdef AF_FILE
    {"file", AF_FILE},
#endif
#ifdef AF_IB
    {"ib", AF_IB},
#endif
#ifdef AF_IEEE802154
    {"ieee802154", AF_IEEE802154},
#endif
#ifdef AF_INET
    {"inet", AF_INET},
#endif
#ifdef AF_INET6
    {"inet6", AF_INET6},
#endif
#ifdef AF_IPX
    {"ipx", AF_IPX},
#endif
#ifdef AF_IRDA
    {"irda", AF_IRDA},
#endif
#ifdef AF_ISDN
    {"isdn", AF_ISDN},
#endif
#ifdef AF_IUCV
    {"iucv", AF_IUCV},
#endif
#ifdef AF_KCM
    {"kcm", AF_KCM},
#endif
#ifdef AF_KEY
    {"key", AF_KEY},
#endif
#ifdef AF_LLC
    {"llc", AF_LLC},
#endif
#ifdef AF_LOCAL
    {"local", AF_LOCAL},
#endif
#ifdef AF_MCTP
    {"mctp", AF_MCTP},
#endif
#ifdef AF_MPLS
    {"mpls", AF_MPLS},
#endif
#ifdef AF_NETBEUI
    {"netbeui", AF_NETBEUI},
#endif
#ifdef AF_NETLINK
    {"netlink", AF_NETLINK},
#endif
#ifdef AF_NETROM
    {"netrom", AF_NETROM},
#endif
#ifdef AF_NFC
    {"nfc", AF_NFC},
#endif
#ifdef AF_PACKET
    {"packet", AF_PACKET},
#endif
#ifdef AF_PHONET
    {"phonet", AF_PHONET},
#endif
#ifdef AF_PPPOX
    {"pppox", AF_PPPOX},
#endif
#ifdef AF_QIPCRTR
    {"qipcrtr", AF_QIPCRTR},
#endif
#ifdef AF_RDS
    {"rds", AF_RDS},
#endif
#ifdef AF_ROSE
    {"rose", AF_ROSE},
#endif
#ifdef AF_ROUTE
    {"route", AF_ROUTE},
#endif
#ifdef AF_RXRPC
    {"rxrpc", AF_RXRPC},
#endif
#ifdef AF_SECURITY
    {"security", AF_SECURITY},
#endif
#ifdef AF_SMC
    {"smc", AF_SMC},
#endif
#ifdef AF_SNA
    {"sna", AF_SNA},
#endif
#ifdef AF_TIPC
    {"tipc", AF_TIPC},
#endif
#ifdef AF_UNIX
    {"unix", AF_UNIX},
#endif
#ifdef AF_UNSPEC
    {"unspec", AF_UNSPEC},
#endif
#ifdef AF_VSOCK
    {"vsock", AF_VSOCK},
#endif
#ifdef AF_WANPIPE
    {"wanpipe", AF_WANPIPE},
#endif
#ifdef AF_X25
    {"x25", AF_X25},
#endif
#ifdef AF_XDP
    {"xdp", AF_XDP},
#endif
#ifdef AF_LINK
    {"link", AF_LINK},
#endif
#ifdef AF_SYSTEM
    {"system", AF_SYSTEM},
#endif
    {NULL, 0},
};

const struct procket_constant *procket_families(size_t *count) {
  *count = sizeof table / sizeof *table - 1;
  return table;
}
