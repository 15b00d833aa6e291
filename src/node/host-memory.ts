/** What this process may still take of the machine's memory: a device in software has no other, and ends the process without it. */
import { readFileSync } from 'node:fs';
import { freemem } from 'node:os';

/** Left free of the memory that there is: the heap grows while a model is loaded. */
const SPARE_BYTES = 64 * 2 ** 20;
/** Left free of the addresses that a process may use (`ulimit -v`): a driver's compiler and its threads take whole ranges. */
const SPARE_ADDRESSES = 256 * 2 ** 20;

/** Text of a file under /proc/self, undefined where there is none. */
export type ProcessFiles = (name: 'limits' | 'status') => string | undefined;

/**
 * A function that tells how many bytes may still be taken: of the memory of the machine and of the process's control group,
 * less what the device holds that was never written and so is not yet taken, and of the addresses that a limit leaves.
 * @param read files under /proc/self
 */
export function hostMemory(read: ProcessFiles = readProcessFile): (heldBytes: number) => number {
  const atStart = process.memoryUsage.rss();
  return heldBytes => {
    const unwritten = Math.max(0, heldBytes - (process.memoryUsage.rss() - atStart));
    const memory = Math.min(freemem(), process.availableMemory?.() ?? Number.POSITIVE_INFINITY);
    const free = Math.min(memory - unwritten - SPARE_BYTES, addressesLeft(read) - SPARE_ADDRESSES);
    return Math.max(0, Math.floor(free));
  };
}

/** Bytes of addresses that the process may still use; infinite without a limit, and where nobody tells. */
function addressesLeft(read: ProcessFiles): number {
  const [, limit] = /^Max address space +(\d+)/m.exec(read('limits') ?? '') ?? [];
  if (limit === undefined) return Number.POSITIVE_INFINITY; // 'unlimited'
  const [, used] = /^VmSize:\s+(\d+) kB/m.exec(read('status') ?? '') ?? [];
  return used === undefined ? Number.POSITIVE_INFINITY : Number(limit) - 1024 * Number(used);
}

function readProcessFile(name: string): string | undefined {
  try {
    return readFileSync(`/proc/self/${name}`, 'utf8');
  } catch {
    return undefined; // not Linux
  }
}
