/** Packages of peers, fetched by npm out of a file, and what happens where npm cannot. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { installPeer } from '../../../bench/peers/install-peer.ts';
import { PEER_PACKAGES } from '../../../bench/peers/packages.ts';
import { LoadError } from '../../../src/core/errors.ts';
import { peersFolder } from '../../../src/node/cached-peers.ts';

const NODE = process.env['PENTIMENTO_NODE'] ?? process.execPath;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'install-peer-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A command in npm's place. */
const inPlace = (script: string): string[] => [NODE, '-e', script, '--'];

const planted = { package: 'planted', version: '1.2.3', manifest: { private: true }, lock: {}, bytes: 3e6 };

/** A package in a file, its manifest and its lock. */
function packed() {
  const source = join(folder, 'source/package');
  mkdirSync(source, { recursive: true });
  const scripts = { postinstall: 'exit 1' };
  writeFileSync(join(source, 'package.json'), JSON.stringify({ name: 'planted', version: '1.2.3', scripts }));
  writeFileSync(join(source, 'index.js'), "module.exports = 'here';\n");
  const file = join(folder, 'planted.tgz');
  execFileSync('tar', ['-czf', file, '-C', join(folder, 'source'), 'package']);
  const integrity = `sha512-${createHash('sha512').update(readFileSync(file)).digest('base64')}`;
  const dependencies = { planted: `file:${file}` };
  const manifest = { name: 'peer', private: true, dependencies };
  const lock = {
    ...{ name: 'peer', lockfileVersion: 3, requires: true },
    packages: {
      '': { name: 'peer', dependencies },
      'node_modules/planted': { version: '1.2.3', resolved: `file:${file}`, integrity, hasInstallScript: true },
    },
  };
  return { package: 'planted', version: '1.2.3', manifest, lock, bytes: 3e6 };
}

describe('a peer', () => {
  it.runIf(process.platform === 'linux')(
    'is refused where its folder cannot be made, in /proc too, without npm',
    async () => {
      const refused = installPeer('planted', planted, { cache: '/proc/peers', npm: ['/no/such/npm'] });
      await expect(refused).rejects.toThrow(LoadError);
      await expect(refused).rejects.toThrow(
        /cannot be written: got no such file .* \(\/proc\/peers\).*PENTIMENTO_CACHE/,
      );
      const file = join(folder, 'a-file');
      writeFileSync(file, '');
      await expect(installPeer('planted', planted, { cache: join(file, 'peers') })).rejects.toThrow(
        'cannot be written',
      );
    },
  );

  it('is fetched once, whole, without its scripts', async () => {
    const cache = join(folder, 'cache');
    const told: string[] = [];
    const options = { cache, onFetch: (words: string) => void told.push(words) };
    const packages = packed();
    const there = await installPeer('planted', packages, options);
    expect(there).toBe(join(cache, 'planted-1.2.3'));
    expect(readFileSync(join(there, 'node_modules/planted/index.js'), 'utf8')).toContain('here');
    expect(readdirSync(cache)).toEqual(['planted-1.2.3']);
    // Without npm: it is there.
    expect(await installPeer('planted', packages, { ...options, npm: ['/no/such/npm'] })).toBe(there);
    expect(told).toEqual(['Fetching planted 1.2.3, 3 MB on the disk.']);
  });

  it('leaves nothing behind where npm fails, and says what helps', async () => {
    const cache = join(folder, 'failed');
    const failure = (script: string) => installPeer('planted', planted, { cache, npm: inPlace(script) });
    const away = "console.error('npm error code ENOTFOUND\\nnpm error network request failed'); process.exit(1)";
    await expect(failure(away)).rejects.toThrow(
      new LoadError({
        op: 'bench',
        problem: 'planted 1.2.3 cannot be fetched',
        received: 'code ENOTFOUND network request failed',
        path: cache,
        fix: 'The registry that npm is configured for is out of reach: check the network or `npm config get registry`, or leave --against out.',
      }),
    );
    await expect(failure("console.error('npm error ENOSPC'); process.exit(1)")).rejects.toThrow('Make room');
    await expect(failure('process.exit(7)')).rejects.toThrow('got npm ended with 7');
    await expect(installPeer('planted', planted, { cache, npm: ['/no/such/npm'] })).rejects.toThrow('Install npm');
    expect(readdirSync(cache)).toEqual([]);
  });

  it('is given up with the signal, npm and what it started too', async () => {
    const cache = join(folder, 'given-up');
    const pids = join(folder, 'pids');
    const hang = `const { pid } = require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' });
      require('fs').writeFileSync(${JSON.stringify(pids)}, pid + ' ' + process.pid); setInterval(() => {}, 1000)`;
    const controller = new AbortController();
    const fetched = installPeer('planted', planted, { cache, npm: inPlace(hang), signal: controller.signal });
    const given = expect(fetched).rejects.toThrow('enough');
    await expect.poll(() => readdirSync(folder)).toContain('pids');
    await expect.poll(() => readFileSync(pids, 'utf8')).toMatch(/\d \d/);
    controller.abort(new DOMException('enough', 'AbortError'));
    await given;
    expect(readdirSync(cache)).toEqual([]);
    for (const pid of readFileSync(pids, 'utf8').split(' ')) {
      await expect.poll(() => runs(Number(pid))).toBe(false);
    }
  });

  it('lies in the cache directory of the user', () => {
    const { PENTIMENTO_CACHE, XDG_CACHE_HOME } = process.env;
    try {
      process.env['PENTIMENTO_CACHE'] = '/x/own';
      expect(peersFolder()).toBe(join('/x/own', 'peers'));
      delete process.env['PENTIMENTO_CACHE'];
      process.env['XDG_CACHE_HOME'] = '/x';
      expect(peersFolder()).toBe(join('/x/pentimento', 'peers'));
    } finally {
      Object.assign(process.env, { PENTIMENTO_CACHE, XDG_CACHE_HOME });
      if (PENTIMENTO_CACHE === undefined) delete process.env['PENTIMENTO_CACHE'];
      if (XDG_CACHE_HOME === undefined) delete process.env['XDG_CACHE_HOME'];
    }
  });
});

describe('the pinned packages', () => {
  it.each(Object.entries(PEER_PACKAGES))(
    'of %s are exact, each with its hash, from no registry by name',
    (_, pinned) => {
      const { dependencies } = pinned.manifest as { dependencies: Record<string, string> };
      expect(Object.values(dependencies).filter(version => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
      expect(pinned.version).toBe(dependencies[pinned.package]);
      const { packages } = pinned.lock as unknown as { packages: Record<string, Record<string, unknown>> };
      const { '': root, ...all } = packages;
      expect(root.dependencies).toEqual(dependencies);
      expect(Object.entries(all).filter(([, entry]) => !/^sha512-/.test(String(entry.integrity)))).toEqual([]);
      expect(Object.entries(all).filter(([, entry]) => 'resolved' in entry)).toEqual([]);
    },
  );
});

/** Whether a process runs; one that has ended and was not collected by its parent does not. */
function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
