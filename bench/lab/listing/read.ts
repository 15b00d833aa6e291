/** Which reader knows a driver's machine code. */
import type { Card } from '../cards.ts';
import { readAco } from './aco.ts';
import type { Listing } from './counts.ts';
import { readGen } from './gen.ts';
import { readIr3 } from './ir3.ts';
import { readNak } from './nak.ts';

/** The program behind a listing; undefined for makers whose code is not read. */
export function readListing(maker: Card['maker'], text: string): Listing | undefined {
  if (maker === 'amd') return /^BB\d+:/m.test(text) ? readAco(text) : undefined;
  if (maker === 'nvidia') return /^block(\.u)? 0 /m.test(text) ? readNak(text) : undefined;
  if (maker === 'qualcomm') return /^end$/m.test(text) ? readIr3(text) : undefined;
  if (maker === 'intel') return /^send\(/m.test(text) ? readGen(text) : undefined;
  return undefined; // Honeykrisp shows no machine code of Apple's cards
}
