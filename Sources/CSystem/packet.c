#ifdef __linux__
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <stddef.h>
#include <sys/socket.h>

#include "include/packet_ring.h"

// What packet_ring.h says is what the kernel's header says.
#define SAME(a, b) _Static_assert((a) == (b), #a)
SAME(procket_block_status, offsetof(struct tpacket_block_desc, hdr.bh1.block_status));
SAME(procket_block_packets, offsetof(struct tpacket_block_desc, hdr.bh1.num_pkts));
SAME(procket_block_first, offsetof(struct tpacket_block_desc, hdr.bh1.offset_to_first_pkt));
SAME(procket_block_length, offsetof(struct tpacket_block_desc, hdr.bh1.blk_len));
SAME(procket_block_header, sizeof(struct tpacket_block_desc));
SAME(procket_packet_next, offsetof(struct tpacket3_hdr, tp_next_offset));
SAME(procket_packet_seconds, offsetof(struct tpacket3_hdr, tp_sec));
SAME(procket_packet_nanoseconds, offsetof(struct tpacket3_hdr, tp_nsec));
SAME(procket_packet_captured, offsetof(struct tpacket3_hdr, tp_snaplen));
SAME(procket_packet_original, offsetof(struct tpacket3_hdr, tp_len));
SAME(procket_packet_status, offsetof(struct tpacket3_hdr, tp_status));
SAME(procket_packet_mac, offsetof(struct tpacket3_hdr, tp_mac));
SAME(procket_packet_tci, offsetof(struct tpacket3_hdr, hv1.tp_vlan_tci));
SAME(procket_packet_tpid, offsetof(struct tpacket3_hdr, hv1.tp_vlan_tpid));
SAME(procket_packet_header, sizeof(struct tpacket3_hdr));
SAME(procket_status_kernel, TP_STATUS_KERNEL);
SAME(procket_status_user, TP_STATUS_USER);
SAME(procket_status_vlan, TP_STATUS_VLAN_VALID);
SAME(procket_status_tpid, TP_STATUS_VLAN_TPID_VALID);
SAME(procket_packet_rx_ring, PACKET_RX_RING);
SAME(procket_packet_statistics, PACKET_STATISTICS);
SAME(procket_packet_version, PACKET_VERSION);
SAME(procket_packet_reserve, PACKET_RESERVE);
SAME(procket_packet_v3, TPACKET_V3);
SAME(procket_ring_request_size, sizeof(struct tpacket_req3));
SAME(procket_filter_instruction, sizeof(struct sock_filter));
SAME(procket_lock_filter, SO_LOCK_FILTER);
SAME(procket_bind_to_index, SO_BINDTOIFINDEX);

int procket_attach_filter(int fd, const void *instructions, unsigned short count) {
  struct sock_fprog program = {.len = count, .filter = (struct sock_filter *)instructions};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}
#else
typedef int procket_no_packet_sockets;
#endif
