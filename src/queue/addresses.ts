/** Which addresses of the network a job may name: those of the public, and others only where the operator says so. */
import { BlockList, isIP } from 'node:net';

/** Not even an operator's word opens these: the addresses of a cloud's own metadata are among them. */
const LINK_LOCAL: readonly Subnet[] = [
  ['169.254.0.0', 16],
  ['fe80::', 10],
  ['fd00:ec2::254', 128], // a cloud's metadata in IPv6
  ['100.100.100.200', 32], // another's
  ['168.63.129.16', 32], // and another's
];

/** This machine, networks behind a router, and what is no address of one machine. */
const PRIVATE: readonly Subnet[] = [
  ...([
    ['0.0.0.0', 8],
    ['10.0.0.0', 8],
    ['100.64.0.0', 10],
    ['127.0.0.0', 8],
    ['172.16.0.0', 12],
  ] as const),
  ...([
    ['192.0.0.0', 24],
    ['192.0.2.0', 24],
    ['192.168.0.0', 16],
    ['198.18.0.0', 15],
  ] as const),
  ...([
    ['198.51.100.0', 24],
    ['203.0.113.0', 24],
    ['224.0.0.0', 4],
    ['240.0.0.0', 4],
  ] as const),
  ...([
    ['::', 128],
    ['::1', 128],
    ['100::', 64],
    ['2001:db8::', 32],
    ['fc00::', 7],
    ['fec0::', 10],
    ['ff00::', 8],
  ] as const),
];

/** IPv6 that leads to an IPv4 address which the machine on the way takes out of it: after so many bits. */
const EMBEDDED: readonly (readonly [...Subnet, at: number])[] = [
  ['::ffff:0:0', 96, 96],
  ['::ffff:0:0:0', 96, 96], // translated
  ['::', 96, 96], // compatible
  ['64:ff9b::', 96, 96], // NAT64
  ['64:ff9b:1::', 48, 96],
  ['2002::', 16, 16], // 6to4
];

type Subnet = readonly [network: string, bits: number];

/** What an address is: open to all, of this machine or its network, or never to be reached. */
export type AddressKind = 'public' | 'private' | 'link-local';

/**
 * What an address is, in whatever spelling a resolver gives it.
 * @param address IPv4 or IPv6, without brackets; a zone behind % counts as link-local
 * @see IANA's registries of special-purpose addresses, RFC 6890
 */
export function addressKind(address: string): AddressKind {
  const family = isIP(address);
  if (family === 0 || address.includes('%')) return 'link-local';
  if (listOf(LINK_LOCAL).check(address, `ipv${family as 4 | 6}`)) return 'link-local';
  const within = family === 6 ? embeddedIn(address) : undefined;
  if (within !== undefined && within !== '0.0.0.0' && within !== '0.0.0.1') return addressKind(within);
  return listOf(PRIVATE).check(address, `ipv${family as 4 | 6}`) ? 'private' : 'public';
}

const lists = new Map<readonly Subnet[], BlockList>();

function listOf(subnets: readonly Subnet[]): BlockList {
  const made = lists.get(subnets) ?? new BlockList();
  if (!lists.has(subnets))
    for (const [net, bits] of subnets) made.addSubnet(net, bits, isIP(net) === 4 ? 'ipv4' : 'ipv6');
  lists.set(subnets, made);
  return made;
}

/** The IPv4 address inside one of IPv6; undefined where there is none. */
function embeddedIn(address: string): string | undefined {
  const found = EMBEDDED.find(([net, bits]) => groupsOf(address).startsWith(groupsOf(net).slice(0, bits)));
  if (!found) return undefined;
  const bits = groupsOf(address).slice(found[2], found[2] + 32);
  return [0, 8, 16, 24].map(at => Number.parseInt(bits.slice(at, at + 8), 2)).join('.');
}

/** The 128 bits of an IPv6 address, as text. */
function groupsOf(address: string): string {
  const plain = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [head = '', tail] = plain.split('::');
  const list = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const [before, after] = [list(head), list(tail ?? '')];
  const zeros = tail === undefined ? [] : new Array<string>(8 - before.length - after.length).fill('0');
  return [...before, ...zeros, ...after]
    .map(group => Number.parseInt(group, 16).toString(2).padStart(16, '0'))
    .join('');
}
