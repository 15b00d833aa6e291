/** What the laboratory says where a card, a package or a program is missing. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { enterAbsentCard } from '../../../bench/lab/absent-card.ts';
import { cardOf, LabError } from '../../../bench/lab/cards.ts';
import { completeWgsl } from '../../../bench/lab/files.ts';
import { mesaFolder, runInside } from '../../../bench/lab/mesa.ts';
import { knownToggles } from '../../../bench/lab/toggles.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pentimento-lab-test-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

function put(path: string): void {
  mkdirSync(join(folder, path, '..'), { recursive: true });
  writeFileSync(join(folder, path), '');
}

describe('the laboratory', () => {
  it('names the cards that it knows', () => {
    expect(() => cardOf('navi99')).toThrow(/--family is one of .*navi31.*adreno740; got 'navi99'/);
  });

  it('names a switch that Dawn has not, which Dawn would pass over', () => {
    const asked = ['disable_robustness', 'dump_shaders'];
    expect(knownToggles(asked)).toEqual(asked);
    const none = (word: string) => `switches of Dawn, such as disable_robustness; it has none called '${word}'`;
    expect(() => knownToggles(['disable_robustness', 'disable_robustnes'])).toThrow(none('disable_robustnes'));
    expect(() => knownToggles(['malloc'])).toThrow(none('malloc'));
    expect(() => knownToggles(['robustness'])).toThrow(LabError);
  });

  it('names the package that has a driver', () => {
    const text = `no driver ${folder}/usr/share/vulkan/icd.d/radeon_icd.json: Debian's package mesa-vulkan-drivers has it`;
    expect(() => enterAbsentCard('navi31', { mesa: folder })).toThrow(text);
  });

  it('says what to install where there is no C compiler', () => {
    put('usr/share/vulkan/icd.d/radeon_icd.json');
    vi.stubEnv('CC', 'no-such-compiler');
    vi.stubEnv('CI', '');
    expect(() => enterAbsentCard('navi31', { mesa: folder })).toThrow(
      /no C compiler or no headers of Vulkan. On Debian: sudo apt-get install gcc libc6-dev libvulkan-dev$/,
    );
    expect(process.env['VK_LAYER_PATH']).toBeUndefined();
  });

  it('takes the driver of the oldest source that knows a card, and unstable only when it is asked for', () => {
    expect(mesaFolder(cardOf('navi31'), undefined)).toBeUndefined();
    expect(() => mesaFolder(cardOf('hopper'), undefined)).toThrow(/does not know hopper\. .*: --mesa sid$/);
    expect(() => mesaFolder(cardOf('m1'), 'system')).toThrow(
      'the driver of --mesa system does not know m1: --mesa backports does',
    );
    expect(() => mesaFolder(cardOf('ada'), 'backports')).toThrow('--mesa sid does');
  });

  it('takes a folder with a Mesa in it, and no other', () => {
    expect(() => mesaFolder(cardOf('m1'), folder)).toThrow(`or a folder with a Mesa in it; got '${folder}'`);
    put('usr/share/vulkan/icd.d/asahi_icd.json');
    expect(mesaFolder(cardOf('m1'), folder)).toBe(folder);
  });

  it('names the package that stands in the place of a driver of the kernel', () => {
    put('usr/lib/x86_64-linux-gnu/libvulkan_asahi.so');
    expect(() => runInside(folder, cardOf('m1'))).toThrow(
      `no libasahi_noop_drm_shim.so in ${folder}: Debian's package mesa-drm-shim has it`,
    );
  });

  it('says why Mesa cannot be fetched', () => {
    vi.stubEnv('SETUP_ROOT', folder);
    vi.stubEnv('PENTIMENTO_CACHE', folder);
    expect(() => mesaFolder(cardOf('m1'), undefined)).toThrow(
      'Mesa only fetched on Debian; cards that need it cannot be opened',
    );
  });

  it('ends in one line and status 2', () => {
    const lab = ['--import', './test/support/run-typescript.mjs', 'bench/lab/main.ts'];
    const { status, stderr } = spawnSync(process.execPath, [...lab, '--wave', '48'], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([2, "lab: --wave is one of 32, 64; got '48'\n"]);
  });
});

describe('a file', () => {
  it('gets the libs that its head names, once', () => {
    const text = '// k\n// Needs: lib/input, lib/step.\nfn main() {}\n';
    const whole = completeWgsl(text, 'float16');
    expect(whole).toMatch(/^enable f16; \/\/ k\n/);
    expect(whole).toContain('alias Input4');
    expect(completeWgsl(whole, 'float16').match(/alias Input4/g)).toHaveLength(1);
    expect(completeWgsl(text, 'float32')).not.toContain('f16');
  });
});
