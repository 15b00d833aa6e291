import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export const ROOT: string = new URL('../..', import.meta.url).pathname;

/** The packed package, unpacked as `node_modules/pentimento` of a made-up project beside the packages it depends on. */
export interface Installed {
  readonly project: string;
  readonly files: readonly string[];
  readonly packedBytes: number;
  remove(): void;
}

/**
 * Packs what is built. `npm test` builds first; here only its absence is noticed.
 * @param beside a folder whose node_modules have what the package depends on; without it, what this project has
 */
export function installTarball(beside?: string): Installed {
  if (!existsSync(join(ROOT, 'dist', 'index.js'))) throw new Error('dist/ is missing: run npm run build');
  const project = mkdtempSync(join(beside ?? tmpdir(), 'pentimento-package-'));
  const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', project], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  // npm 11 gives an array, later versions an object by name.
  const parsed = JSON.parse(packed);
  const [info] = Array.isArray(parsed)
    ? parsed
    : Object.values<{ filename: string; files: { path: string }[]; size: number }>(parsed);
  const home = join(project, 'node_modules', 'pentimento');
  mkdirSync(home, { recursive: true });
  execFileSync('tar', ['-xzf', join(project, info.filename), '-C', home, '--strip-components=1']);
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  for (const name of beside ? [] : Object.keys({ ...dependencies, ...peerDependencies })) {
    const link = join(project, 'node_modules', name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', name), link);
  }
  return {
    project,
    files: info.files.map((f: { path: string }) => f.path),
    packedBytes: info.size,
    remove: () => rmSync(project, { recursive: true }),
  };
}
