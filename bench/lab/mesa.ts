/** A newer Mesa from a folder, and the laboratory run again inside its C library, with a shim for the card. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { type Card, LabError, type MesaSource } from './cards.ts';
import { intelFolder, intelShim } from './intel-card.ts';

const scripts = fileURLToPath(new URL('../../scripts/mesa/', import.meta.url));
const ORDER: readonly string[] = ['system', 'backports', 'sid'] satisfies readonly MesaSource[];

/**
 * Where the card's driver is taken from.
 * @param asked 'system', 'backports', 'sid', a folder, or undefined: the oldest that knows the card, unstable only when it is asked for
 * @returns undefined for the system's
 * @throws LabError where that Mesa does not know the card, or cannot be fetched
 */
export function mesaFolder(card: Card, asked: string | undefined): string | undefined {
  const source = asked ?? card.from;
  if (!ORDER.includes(source)) {
    if (existsSync(join(source, 'usr/share/vulkan/icd.d'))) return source;
    throw new LabError(`--mesa is system, backports, sid or a folder with a Mesa in it; got '${source}'`);
  }
  if (asked === undefined && source === 'sid') {
    throw new LabError(
      `Mesa 26.1 of Debian 13's backports does not know ${card.name}. That of Debian unstable does, to look at: --mesa sid`,
    );
  }
  if (ORDER.indexOf(source) < ORDER.indexOf(card.from)) {
    throw new LabError(`the driver of --mesa ${source} does not know ${card.name}: --mesa ${card.from} does`);
  }
  return source === 'system' ? undefined : fetchMesa(source === 'sid');
}

function fetchMesa(unstable: boolean): string {
  const args = [join(scripts, 'fetch.sh'), '--cards', ...(unstable ? ['--sid'] : [])];
  const { status, stdout, stderr } = spawnSync('sh', args, { encoding: 'utf8' });
  if (status === 0) return stdout.trim();
  throw new LabError(stderr.trim().replace(/^mesa: /, 'Mesa ') || `scripts/mesa/fetch.sh ended with status ${status}`);
}

/** The library that stands in the place of the kernel's driver. */
function shimOf(folder: string, { shim }: Card): string {
  if (shim === 'intel') return intelShim();
  const name = `lib${shim}_noop_drm_shim.so`;
  const libraries = readdirSync(join(folder, 'usr/lib')).map(architecture =>
    join(folder, 'usr/lib', architecture, name),
  );
  const found = libraries.find(path => existsSync(path));
  if (!found) throw new LabError(`no ${name} in ${folder}: Debian's package mesa-drm-shim has it`);
  return found;
}

/** Runs this program again with the folder's C library and the card's shim; returns its exit status. */
export function runInside(folder: string, card: Card): number {
  const shim = shimOf(folder, card);
  const id = card.environment['INTEL_CARD_ID'];
  const { status, error } = spawnSync(join(scripts, 'node'), [...process.execArgv, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: {
      ...process.env,
      ...card.environment,
      ...(id === undefined ? {} : { INTEL_CARD_FOLDER: intelFolder(id) }),
      PENTIMENTO_MESA: folder,
      PENTIMENTO_NODE: process.execPath,
      PENTIMENTO_SHIM: shim,
      PATH: [scripts, process.env['PATH']].join(delimiter),
    },
  });
  if (error) throw new LabError(`Node does not run with the C library of ${folder}: ${error.message}`);
  return status ?? 1;
}
