/** A card of Intel's that is not there: Mesa has no shim for them among Debian's packages, so that the laboratory builds one. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { LabError } from './cards.ts';

/**
 * The library that answers for the card.
 * @throws LabError where it cannot be built
 */
export function intelShim(): string {
  const script = fileURLToPath(new URL('shim/build.sh', import.meta.url));
  const { status, stdout, stderr, error } = spawnSync('sh', [script], { encoding: 'utf8' });
  if (status === 0) return stdout.trim();
  throw new LabError(`the shim cannot be built: ${(stderr || error?.message || `status ${status}`).trim()}`);
}

/**
 * A folder with the files by which a card is found below /dev and /sys; gone when the process ends.
 * @param id the card's PCI number, hexadecimal
 */
export function intelFolder(id: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'pentimento-card-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const device = join(folder, 'sys/dev/char/226:128/device');
  mkdirSync(join(device, 'drm/renderD128'), { recursive: true });
  mkdirSync(join(folder, 'dev/dri'), { recursive: true });
  symlinkSync('/sys/bus/pci', join(device, 'subsystem'));
  writeFileSync(join(folder, 'dev/dri/renderD128'), '');
  const numbers = { vendor: '8086', device: id, subsystem_vendor: '8086', subsystem_device: '0000', revision: '08' };
  for (const [name, value] of Object.entries(numbers)) writeFileSync(join(device, name), `0x${value}\n`);
  writeFileSync(join(device, 'uevent'), `DRIVER=i915\nPCI_ID=8086:${id}\nPCI_SLOT_NAME=0000:03:00.0\n`);
  return folder;
}
