/** The cards that the laboratory opens, and the driver that compiles for each. */

/** Where a driver comes from: the system's packages, Debian 13's backports in a folder, or Debian unstable in a folder. */
export type MesaSource = 'system' | 'backports' | 'sid';

/** A family of cards. */
export interface Card {
  /** What `--family` takes. */
  readonly name: string;
  readonly maker: 'amd' | 'nvidia' | 'apple' | 'qualcomm' | 'intel';
  /** WebGPU's name of the family, where the shim's card would be taken for another. */
  readonly architecture?: string;
  /** The file of the driver's manifest. */
  readonly manifest: string;
  /** The oldest source whose driver knows it. */
  readonly from: MesaSource;
  /** What stands in the place of the kernel's driver; the system's RADV needs none. */
  readonly shim: string;
  /** The environment by which the shim is this card. */
  readonly environment: Readonly<Record<string, string>>;
  /** Clocks of a SIMD for a product of 16 x 16 x 16 halves; 0 without matrix units. */
  readonly matrixClocks: number;
  /** SIMDs among which the waves are shared that the driver tells of. */
  readonly simds: number;
  /** Waves of a SIMD, where the driver does not say. */
  readonly waves?: number;
  /** Lanes for which a SIMD takes a clock. */
  readonly width: number;
  /** Whether one wave can issue two vector instructions at once, which doubles the peak. */
  readonly dual: boolean;
}

const RADV_NAMES = {
  gcn: ['tahiti', 'bonaire', 'polaris10', 'vega10', 'vega20', 'mi100', 'mi200', 'gfx940'],
  rdna: ['navi10', 'navi14', 'navi21', 'navi22', 'navi24', 'vangogh', 'rembrandt'],
  rdna3: ['navi31', 'navi32', 'navi33', 'phoenix', 'gfx1150', 'gfx1151'],
  rdna4: ['gfx1200', 'gfx1201'],
};

function amd(name: string, more: Partial<Card>): Card {
  const shim = 'amdgpu';
  const environment = { AMDGPU_GPU_ID: name };
  const rest = { matrixClocks: 0, simds: 1, width: 32, dual: false, from: 'system' as const, ...more };
  return { name, maker: 'amd', manifest: 'radeon_icd.json', shim, environment, ...rest };
}

function nvidia(name: string, chipset: string, from: MesaSource, architecture = name): Card {
  const environment = { NOUVEAU_CHIPSET: chipset, NVK_I_WANT_A_BROKEN_VULKAN_DRIVER: '1' };
  const rest = { matrixClocks: 0, simds: 4, width: 32, dual: false };
  return {
    name,
    architecture,
    maker: 'nvidia',
    manifest: 'nouveau_icd.json',
    from,
    shim: 'nouveau',
    environment,
    ...rest,
  };
}

/**
 * @param shape slices, subslices of each and execution units of each of these
 * @param width lanes of a vector unit
 */
function intel(name: string, id: string, shape: string, width: number): Card {
  const environment = { INTEL_CARD_ID: id, INTEL_CARD_SHAPE: shape, INTEL_FORCE_PROBE: '*' };
  const rest = { matrixClocks: 16, simds: 1, waves: 8, width, dual: false, from: 'backports' as const };
  return { name, maker: 'intel', manifest: 'intel_icd.json', shim: 'intel', environment, ...rest };
}

/** All of them. Mesa 26.1 of Debian 13's backports knows NVIDIA's cards up to Ampere. */
const CARDS: readonly Card[] = [
  ...RADV_NAMES.gcn.map(name => amd(name, { width: 16 })),
  ...RADV_NAMES.rdna.map(name => amd(name, {})),
  ...RADV_NAMES.rdna3.map(name => amd(name, { dual: true, matrixClocks: 32 })),
  // Mesa 25.0 neither disassembles for them nor offers their matrices.
  ...RADV_NAMES.rdna4.map(name => amd(name, { dual: true, matrixClocks: 16, from: 'backports' })),
  nvidia('turing', '162', 'backports'),
  nvidia('ampere', '172', 'backports'),
  nvidia('ada', '192', 'sid', 'lovelace'),
  nvidia('hopper', '180', 'sid'),
  nvidia('blackwell', '1b2', 'sid'),
  // Tiger Lake, Meteor Lake and Lunar Lake with their own graphics; Arc A770 and B580.
  intel('tgl', '9a49', '1,6,16', 8),
  intel('mtl', '7d55', '2,4,16', 8),
  intel('lnl', '64a0', '2,4,8', 16),
  intel('dg2', '56a0', '8,4,16', 8),
  intel('bmg', 'e20b', '5,4,8', 16),
  {
    ...{ name: 'm1', maker: 'apple', manifest: 'asahi_icd.json', from: 'backports', shim: 'asahi', environment: {} },
    ...{ matrixClocks: 0, simds: 1, width: 32, dual: false },
  },
  {
    ...{ name: 'adreno740', maker: 'qualcomm', manifest: 'freedreno_icd.json', from: 'backports', shim: 'freedreno' },
    ...{ environment: { FD_GPU_ID: '740' }, matrixClocks: 0, simds: 1, width: 32, dual: false },
  },
];

/**
 * The card of this name.
 * @throws LabError naming all that there are
 */
export function cardOf(name: string): Card {
  const found = CARDS.find(card => card.name === name);
  if (!found) throw new LabError(`--family is one of ${CARDS.map(card => card.name).join(', ')}; got '${name}'`);
  return found;
}

/** What keeps the laboratory from working, and what to do about it. */
export class LabError extends Error {
  override readonly name = 'LabError';
}
