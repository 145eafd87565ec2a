// The headers whose constants are in the table. Read by scripts/constants too.
#if __has_include(<linux/socket.h>)
#include <linux/socket.h>
#endif
#if __has_include(<asm/socket.h>)
#include <asm/socket.h>
#endif
#if __has_include(<linux/in.h>)
#include <linux/in.h>
#endif
#if __has_include(<linux/in6.h>)
#include <linux/in6.h>
#endif
#if __has_include(<linux/ipv6.h>)
#include <linux/ipv6.h>
#endif
#if __has_include(<linux/tcp.h>)
#include <linux/tcp.h>
#endif
#if __has_include(<linux/udp.h>)
#include <linux/udp.h>
#endif
#if __has_include(<linux/icmp.h>)
#include <linux/icmp.h>
#endif
#if __has_include(<linux/icmpv6.h>)
#include <linux/icmpv6.h>
#endif
#if __has_include(<linux/llc.h>)
#include <linux/llc.h>
#endif
