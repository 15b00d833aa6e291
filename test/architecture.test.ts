/** The rules that no compiler checks: who may import whom, what may appear where, how large things may grow. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const ROOT = new URL('..', import.meta.url).pathname;

/** A layer may import itself and what stands in its row. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  gpu: ['core', 'tuning/given-tuning'],
  kernels: ['core', 'gpu', 'wgsl'],
  tuning: ['core', 'gpu', 'kernels'],
  tensor: ['core', 'gpu', 'kernels'],
  nn: ['core', 'gpu/device', 'kernels/pack-weight', 'tensor'],
  models: ['core', 'tensor', 'nn'],
  schedulers: ['core'],
  tokenizers: ['core', 'io/json-file', 'io/stand-in'],
  generation: ['core', 'schedulers'],
  io: ['core'],
  'pipeline/runtime': [
    'core',
    'gpu/caps',
    'gpu/device',
    'gpu/device-lost',
    'gpu/dry-device',
    'tensor',
    'nn',
    'io/json-file',
  ],
  'pipeline/diffusion': [
    'core',
    'gpu/caps',
    'tensor',
    'nn',
    'models/stable-diffusion',
    'schedulers',
    'tokenizers',
    'io',
    'pipeline/runtime',
  ],
  'pipeline/text': [
    'core',
    'tensor',
    'nn',
    'models/blip',
    'models/t5',
    'tokenizers',
    'generation',
    'io',
    'pipeline/runtime',
  ],
  'pipeline/diffedit': [
    'core',
    'tensor',
    'models/stable-diffusion',
    'schedulers',
    'io',
    'pipeline/runtime',
    'pipeline/diffusion',
  ],
  'pipeline/batch': ['core', 'io', 'pipeline/runtime', 'pipeline/diffedit'],
  'pipeline/image-generation': ['core', 'tensor', 'schedulers', 'io', 'pipeline/runtime', 'pipeline/diffusion'],
  'pipeline/guide': [
    'core',
    'gpu/device',
    'schedulers',
    'generation',
    'io',
    'pipeline/runtime',
    'pipeline/diffusion',
    'pipeline/text',
    'pipeline/diffedit',
  ],
  'pipeline/problems': [
    'core',
    'gpu/caps',
    'gpu/device',
    'tuning/heard',
    'io',
    ...['runtime', 'diffusion', 'text', 'diffedit', 'batch', 'image-generation', 'guide'].map(
      room => `pipeline/${room}`,
    ),
  ],
  worker: [
    'core',
    'gpu',
    'schedulers',
    'io',
    'models/stable-diffusion',
    ...['runtime', 'diffusion', 'text', 'diffedit', 'image-generation'].map(room => `pipeline/${room}`),
  ],
  node: ['core', 'gpu', 'tuning', 'io', 'node:'],
  queue: ['core', 'gpu', 'io', 'pipeline/runtime', 'pipeline/diffedit', 'pipeline/batch', 'node', 'node:'],
  bench: ['core', 'gpu', 'kernels', 'tuning', 'tensor', 'nn', 'models', 'io', 'node', 'node:'],
  cli: [
    'bench',
    'core',
    'gpu',
    'kernels',
    'tuning',
    'tensor',
    'nn',
    'models',
    'schedulers',
    'tokenizers',
    'generation',
    'io',
    'pipeline',
    'worker',
    'node',
    'queue',
    'node:',
  ],
};
/** Packages by the layers that may use them. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  '@huggingface/tokenizers': ['tokenizers'],
  '@huggingface/hub': ['node'],
  pngjs: ['node'],
  'jpeg-js': ['node'],
  sharp: ['node'],
  commander: ['cli'],
  'cli-progress': ['cli'],
  yaml: ['cli'],
  'csv-parse/sync': ['cli'],
  tinyglobby: ['cli'],
  bullmq: ['queue'],
  ioredis: ['queue'],
  'prom-client': ['queue'],
};
/** What the pages take of the package and of the benchmark, and what builds them: the first row that fits. */
const SITE_MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  // What is measured there are the rows of `pentimento bench`, in the worker.
  'site/shared/kernel-bench.ts': [
    'pentimento/kernels',
    ...['bench/ceilings.ts', 'bench/kernel-rows.ts', 'bench/run-kernels.ts'],
    'src/kernels/load-texts.ts',
    ...['built-from', 'heard', 'kept-in-page', 'meter', 'table', 'tune'].map(name => `src/tuning/${name}.ts`),
  ],
  'site/shared/vite-plugins.ts': ['vite', 'node:'],
  'site/shared': ['pentimento', 'pentimento/page', 'bench/schema.ts', 'bench/svg/chart-data.ts'],
  'site/studio/src/worker.ts': ['site/shared/', 'src/worker/peer.ts', 'src/worker/serve.ts'],
  'site/studio/src': ['site/shared/', 'pentimento', 'pentimento/page', 'pentimento/worker'],
  'site/studio/vite.config.ts': ['site/shared/', 'vite', 'node:'],
  'site/bench/src': ['site/shared/', 'bench/schema.ts', 'bench/svg/', 'src/gpu/caps.ts'],
  'site/bench/vite.config.ts': ['site/shared/', 'vite', 'node:'],
};

interface Source {
  readonly path: string;
  readonly layer: string;
  readonly text: string;
  readonly tree: ts.SourceFile;
}

function filesBelow(folder: string, extension: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith(extension))
    .map(name => join(folder, name))
    .sort();
}

function sourcesBelow(folder: string): Source[] {
  return filesBelow(folder, '.ts')
    .filter(path => !path.endsWith('.d.ts'))
    .map(path => {
      const text = readFileSync(join(ROOT, path), 'utf8');
      return {
        path,
        layer: layerOf(path),
        text,
        tree: ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true),
      };
    });
}

const sources = sourcesBelow('src');
const site = sourcesBelow('site');
/** Programs of who works on the library: they are not in the package, and read tests' models and whatever they need. */
const OF_DEVELOPERS =
  /^bench\/((lab|quality|figures|results)\/|(loading|models|model-results|quality|replay|words)\.ts$|peers\/networks\.ts$)/;
const bench = sourcesBelow('bench').filter(({ path }) => !OF_DEVELOPERS.test(path));
/** Adapters of other engines go by what those ask for, in processes of their own. */
const ownBench = bench.filter(({ path }) => !path.startsWith('bench/peers/'));
const shaders = filesBelow('wgsl', '.wgsl').map(path => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));

/** The folder below src; of the pipeline, the room. */
function layerOf(path: string): string {
  const [top, folder, room] = path.split('/');
  if (top === 'bench') return 'bench';
  if (folder.endsWith('.ts')) return 'index';
  return folder === 'pipeline' ? `pipeline/${room}` : folder;
}

interface Import {
  readonly name: string;
  readonly target: string;
  /** Erased by the compiler. */
  readonly typeOnly: boolean;
}

/** Every module that a file names, in imports, exports and import() of a literal. */
function importsOf({ path, tree }: Source): Import[] {
  const found: { name: string; typeOnly: boolean }[] = [];
  for (const node of nodesOf(tree)) {
    if (ts.isImportDeclaration(node)) {
      found.push({ name: literal(node.moduleSpecifier), typeOnly: node.importClause?.isTypeOnly === true });
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
      found.push({ name: literal(node.moduleSpecifier), typeOnly: node.isTypeOnly });
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      if (ts.isStringLiteral(node.arguments[0])) found.push({ name: node.arguments[0].text, typeOnly: false });
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      found.push({ name: literal(node.argument.literal), typeOnly: true });
    }
  }
  const target = (name: string) => (name.startsWith('.') ? relative(ROOT, join(ROOT, dirname(path), name)) : name);
  return found.map(f => ({ ...f, target: target(f.name) }));
}

function literal(node: ts.Node): string {
  return ts.isStringLiteral(node) ? node.text : '';
}

function allowed(source: Source, target: string): boolean {
  if (source.layer === 'index') return target.startsWith('src/');
  const may = [...(MAY_IMPORT[source.layer] ?? []), source.layer];
  if (target.startsWith('src/'))
    return may.some(layer => target.startsWith(`src/${layer}/`) || target === `src/${layer}.ts`);
  if (target.startsWith('bench/')) return may.includes('bench');
  if (target.startsWith('wgsl/')) return may.includes('wgsl');
  if (target.startsWith('node:')) return may.includes('node:');
  return PACKAGES[target]?.includes(source.layer) ?? false;
}

/** A node and everything below it. */
function nodesOf(node: ts.Node): ts.Node[] {
  const found = [node];
  ts.forEachChild(node, child => void found.push(...nodesOf(child)));
  return found;
}

/** Names of identifiers in a file, types and values alike. */
function identifiers(tree: ts.SourceFile): Set<string> {
  return new Set(
    nodesOf(tree)
      .filter(ts.isIdentifier)
      .map(node => node.text),
  );
}

/** First line and number of lines of a node, without its comments. */
function linesOf({ tree }: Source, node: ts.Node): { readonly first: number; readonly count: number } {
  const [from, to] = [node.getStart(tree), node.getEnd()].map(at => tree.getLineAndCharacterOfPosition(at).line);
  return { first: from + 1, count: to - from + 1 };
}

describe('layers', () => {
  it('knows every folder of src', () => {
    const layers = new Set([...sources, ...bench].map(s => s.layer));
    layers.delete('index');
    expect([...layers].sort()).toEqual(Object.keys(MAY_IMPORT).sort());
  });

  it('has the rows of the table in docs/architecture.md', () => {
    const text = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8');
    const [table = ''] = /^\| layer \| may import \|\n(\|.*\n)+/m.exec(text) ?? [];
    const rows = [...table.matchAll(/^\| ([a-z][\w/, -]*) \| ([^|]+) \|$/gm)].filter(([, layer]) => layer !== 'layer');
    const rooms = Object.keys(MAY_IMPORT).filter(layer => layer.startsWith('pipeline/'));
    const written = rows.flatMap(([, layers, may]) =>
      layers.split(', ').map((layer): [string, string[]] => {
        const named = may.replace(/ \([^)]*\)/g, '').split(', ');
        const above = [
          'core',
          'gpu',
          'kernels',
          'tuning',
          'tensor',
          'nn',
          'models',
          'schedulers',
          'tokenizers',
          'generation',
          'io',
        ];
        const groups: Record<string, string[]> = {
          nothing: [],
          Node: ['node:'],
          'all rooms of pipeline': rooms.filter(room => room !== layer),
          'everything above': [...above, 'pipeline', 'worker', 'node', 'queue', 'bench'],
        };
        return [layer, named.flatMap(name => groups[name] ?? [name]).sort()];
      }),
    );
    const kept = Object.entries(MAY_IMPORT).map(([layer, may]): [string, string[]] => [layer, [...may].sort()]);
    expect(Object.fromEntries(written)).toEqual(Object.fromEntries(kept));
  });

  it('imports only what its row allows', () => {
    const wrong = [...sources, ...bench].flatMap(s =>
      importsOf(s)
        .filter(i => !allowed(s, i.target))
        .map(i => `${s.path} imports ${i.target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('measures in pages what it measures in Node: nothing there is of Node', () => {
    const byPath = new Map([...sources, ...bench].map(s => [s.path, s]));
    const reached = new Set<string>();
    const walk = (path: string): void => {
      if (reached.has(path)) return;
      reached.add(path);
      const source = byPath.get(path);
      for (const { target, typeOnly } of source ? importsOf(source) : []) if (!typeOnly) walk(target);
    };
    for (const name of ['schema', 'ceilings', 'kernel-rows', 'run-kernels', 'svg/charts']) walk(`bench/${name}.ts`);
    expect(reached.size).toBeGreaterThan(50);
    expect([...reached].filter(path => path.startsWith('node:') || path.startsWith('src/node/'))).toEqual([]);
  });

  it('builds the pages on the public entries and on the benchmark, and on nothing else', () => {
    const wrong = site.flatMap(s => {
      const may = Object.entries(SITE_MAY_IMPORT).find(([place]) => s.path.startsWith(place))?.[1] ?? [];
      const own = s.path.slice(0, s.path.indexOf('/', 'site/'.length) + 1);
      return importsOf(s)
        .filter(i => !i.target.startsWith(own))
        .filter(i => !may.some(one => i.target === one || (/[:/]$/.test(one) && i.target.startsWith(one))))
        .map(i => `${s.path} imports ${i.target}`);
    });
    expect(site.length).toBeGreaterThan(25);
    expect(wrong).toEqual([]);
  });

  it('takes of gpu only its plain data and its device where the pipeline needs one', () => {
    const pipeline = sources.filter(s => s.layer.startsWith('pipeline/')).flatMap(s => importsOf(s).map(i => i.target));
    expect(new Set(pipeline.filter(t => t.startsWith('src/gpu/')))).toEqual(
      new Set(['src/gpu/caps.ts', 'src/gpu/device-lost.ts', 'src/gpu/device.ts', 'src/gpu/dry-device.ts']),
    );
  });

  it('hands the device on in nn, as a type and nothing more', () => {
    const handed = sources
      .filter(s => s.layer === 'nn')
      .flatMap(s => importsOf(s).map(i => ({ ...i, path: s.path })))
      .filter(i => i.target.startsWith('src/gpu/'));
    expect(handed.length).toBeGreaterThan(0);
    expect(handed.filter(i => !i.typeOnly)).toEqual([]);
  });

  it('has no file that only hands on what lies in another layer', () => {
    const entries = /^src\/([\w-]+\.ts|[\w-]+\/index\.ts)$/;
    const wrong = sources
      .filter(s => !entries.test(s.path) && s.tree.statements.length > 0)
      .filter(s => s.tree.statements.every(node => ts.isExportDeclaration(node) && node.moduleSpecifier))
      .filter(s => importsOf(s).every(i => !i.target.startsWith(`src/${s.layer}/`)));
    expect(wrong.map(s => s.path)).toEqual([]);
  });

  it('writes its ending after every import of its own', () => {
    const wrong = sources.flatMap(s =>
      importsOf(s)
        .filter(i => i.name.startsWith('.') && !/\.(ts|wgsl|json)$/.test(i.name))
        .map(i => `${s.path}: ${i.name}`),
    );
    expect(wrong).toEqual([]);
  });

  it('finds the circles of a graph', () => {
    const graph = {
      a: ['b'],
      b: ['c'],
      c: ['b', 'd'],
      d: ['d'],
      e: ['f'],
      f: ['g', 'a'],
      g: ['e'],
      h: ['a', 'b', 'i'],
    };
    expect(circlesOf(new Map(Object.entries(graph)))).toEqual([['b', 'c'], ['d'], ['e', 'f', 'g']]);
    expect(circlesOf(new Map(Object.entries({ a: ['b', 'c'], b: ['c'], c: [] })))).toEqual([]);
  });

  it('has no circle of files, types included', () => {
    const all = [...sources, ...site, ...bench];
    expect(circlesOf(new Map(all.map(s => [s.path, importsOf(s).map(i => i.target)])))).toEqual([]);
  });
});

/** Groups of files that reach each other, and files that import themselves: strongly connected components (Tarjan 1972). */
function circlesOf(edges: ReadonlyMap<string, readonly string[]>): string[][] {
  const seen = new Map<string, { readonly order: number; lowest: number }>();
  const open: string[] = [];
  const circles: string[][] = [];
  const visit = (path: string) => {
    const own = { order: seen.size, lowest: seen.size };
    seen.set(path, own);
    open.push(path);
    const targets = edges.get(path) ?? [];
    for (const next of targets.filter(target => edges.has(target))) {
      const known = seen.get(next);
      if (!known) own.lowest = Math.min(own.lowest, visit(next).lowest);
      else if (open.includes(next)) own.lowest = Math.min(own.lowest, known.order);
    }
    if (own.lowest === own.order) {
      const group = open.splice(open.indexOf(path)).sort();
      if (group.length > 1 || targets.includes(path)) circles.push(group);
    }
    return own;
  };
  for (const path of edges.keys()) if (!seen.has(path)) visit(path);
  return circles.sort((a, b) => (a.join() < b.join() ? -1 : 1));
}

describe('what may appear where', () => {
  it('keeps buffers, devices and dispatches in gpu and kernels', () => {
    const forbidden = ['GPUBuffer', 'GPUDevice', 'GPUComputePassEncoder', 'dispatchWorkgroups'];
    const wrong = sources
      .filter(s => !['gpu', 'kernels'].includes(s.layer))
      .flatMap(s => forbidden.filter(name => identifiers(s.tree).has(name)).map(name => `${s.path}: ${name}`));
    expect(wrong).toEqual([]);
  });

  it('keeps memory, waiting and dispatching out of the models', () => {
    const forbidden = /\bawait\b|\basync\b|\bdispose\(|BufferSlice|DispatchList|createBuffer/;
    expect(
      sources.filter(s => s.layer === 'models' && forbidden.test(withoutComments(s.text))).map(s => s.path),
    ).toEqual([]);
  });

  it('turns recordings of the pipeline into plans in one place', () => {
    const recorders = sources.filter(s => s.layer.startsWith('pipeline/') && /new Graph\(|\.compile\(\{/.test(s.text));
    expect(recorders.map(s => s.path)).toEqual(['src/pipeline/runtime/device-program.ts']);
  });

  it('records nodes that nothing changes', () => {
    const classes: (string | undefined)[] = [];
    const changeable: string[] = [];
    for (const s of sources) {
      for (const node of s.tree.statements.filter(ts.isClassDeclaration)) {
        if (!node.heritageClauses?.some(clause => clause.types.some(type => type.getText(s.tree) === 'Node'))) continue;
        classes.push(node.name?.text);
        for (const member of node.members.filter(ts.isPropertyDeclaration)) {
          const fixed = ts.getModifiers(member)?.some(m => m.kind === ts.SyntaxKind.ReadonlyKeyword);
          if (!fixed) changeable.push(`${s.path}: ${node.name?.text}.${member.name.getText(s.tree)}`);
        }
      }
    }
    expect(classes).toContain('ContractionNode');
    expect(changeable).toEqual([]);
  });

  it('throws only errors of its own', () => {
    const bare: string[] = [];
    for (const s of [...sources, ...ownBench]) {
      for (const node of nodesOf(s.tree)) {
        const made = ts.isNewExpression(node) || ts.isCallExpression(node) ? node.expression.getText(s.tree) : '';
        if (/^(Error|TypeError|RangeError|SyntaxError|DOMException)$/.test(made))
          bare.push(`${s.path}: ${node.getText(s.tree).slice(0, 60)}`);
      }
    }
    expect(bare).toEqual([]);
  });

  it('has no any, no non-null assertion, no suppressed type error', () => {
    const wrong = [...sources, ...site, ...bench].flatMap(s => {
      const found = nodesOf(s.tree)
        .filter(node => ts.isNonNullExpression(node) || node.kind === ts.SyntaxKind.AnyKeyword)
        .map(node => `${s.path}: ${node.parent.getText(s.tree).slice(0, 60)}`);
      if (/@ts-(ignore|expect-error|nocheck)/.test(s.text)) found.push(`${s.path}: a suppressed error`);
      return found;
    });
    expect(wrong).toEqual([]);
  });

  it('says which part of the library did not come, wherever the core loads one', () => {
    const bare = sources
      .filter(s => !['node', 'cli', 'queue'].includes(s.layer))
      // In bundles it may import nothing at once: what it shared with the page would run as the page.
      .filter(s => s.path !== 'src/worker/script-chunk.ts')
      .flatMap(s => nodesOf(s.tree).map((node): [Source, ts.Node] => [s, node]))
      .filter(([, node]) => ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      .filter(([s, { parent: around }]) => {
        const call = ts.isArrowFunction(around) ? around.parent : around;
        return !(ts.isCallExpression(call) && call.expression.getText(s.tree) === 'loadPart');
      });
    expect(bare.map(([s, node]) => `${s.path}: ${node.getText(s.tree)}`)).toEqual([]);
  });

  it('names every kernel file alike in wgsl, src and the label', () => {
    const stems = shaders.filter(s => !s.path.startsWith('wgsl/lib/')).map(s => s.path.slice(5, -5));
    const bodies = sources.filter(s => s.layer === 'kernels');
    for (const stem of stems) {
      const users = bodies.filter(s => s.text.includes(`/wgsl/${stem}.wgsl'`));
      expect(users.length, `${stem}.wgsl is imported by no kernel`).toBeGreaterThan(0);
      expect(
        users.some(s => labelled(s.text, stem)),
        `no kernel is labelled '${stem}'`,
      ).toBe(true);
    }
  });
});

describe('sizes', () => {
  const LINES = { hard: 400, median: 150, function: 60, constructor: 80, forward: 25 };

  it('keeps files below 400 lines, half of them below 150', () => {
    const lines = sources.map(s => ({ path: s.path, lines: s.text.split('\n').length - 1 }));
    expect(lines.filter(f => f.lines > LINES.hard)).toEqual([]);
    expect([...site, ...bench].filter(s => s.text.split('\n').length - 1 > LINES.hard).map(s => s.path)).toEqual([]);
    const sorted = lines.map(f => f.lines).sort((a, b) => a - b);
    expect(sorted[Math.floor(sorted.length / 2)]).toBeLessThanOrEqual(LINES.median);
  });

  it('keeps functions below 60 lines, constructors below 80', () => {
    const long: string[] = [];
    for (const s of [...sources, ...site, ...ownBench]) {
      for (const node of nodesOf(s.tree)) {
        if (!ts.isFunctionLike(node) || !('body' in node && node.body)) continue;
        const { first, count } = linesOf(s, node);
        const limit = ts.isConstructorDeclaration(node) ? LINES.constructor : LINES.function;
        if (count > limit) long.push(`${s.path}:${first}: ${count} lines`);
      }
    }
    expect(long).toEqual([]);
  });

  it('keeps a network readable in one sitting: UNet with its blocks below 450 lines, forward below 25', () => {
    const unet = sources.filter(s => /models\/stable-diffusion\/unet(-blocks)?\.ts$/.test(s.path));
    expect(unet).toHaveLength(2);
    expect(unet.reduce((sum, s) => sum + s.text.split('\n').length - 1, 0)).toBeLessThanOrEqual(450);
    for (const s of sources.filter(f => ['models', 'nn'].includes(f.layer))) {
      for (const node of nodesOf(s.tree).filter(ts.isMethodDeclaration)) {
        if (node.name.getText(s.tree) !== 'forward') continue;
        expect(linesOf(s, node).count, `${s.path}: forward`).toBeLessThanOrEqual(LINES.forward);
      }
    }
  });

  it('opens files over 100 lines with what lives there', () => {
    const bare = sources.filter(s => s.text.split('\n').length > 100 && !/^(\/\*\*|import |#!)/.test(s.text));
    expect(bare.map(s => s.path)).toEqual([]);
    const silent = sources
      .filter(s => s.text.split('\n').length > 100 && !/^(#!.*\n)?\/\*\*/.test(s.text))
      .map(s => s.path);
    expect(silent).toEqual([]);
  });
});

describe('documentation', () => {
  it('says something about every exported function and class of kernels, tensor, nn, schedulers and pipeline', () => {
    const silent: string[] = [];
    const layers = ['kernels', 'tensor', 'nn', 'schedulers', 'pipeline'];
    for (const s of sources.filter(f => layers.includes(f.layer.split('/')[0]))) {
      for (const node of s.tree.statements) {
        const exported =
          ts.canHaveModifiers(node) && ts.getModifiers(node)?.some(m => m.kind === ts.SyntaxKind.ExportKeyword);
        if (!exported || !(ts.isFunctionDeclaration(node) || ts.isClassDeclaration(node))) continue;
        if (ts.getJSDocCommentsAndTags(node).length === 0) silent.push(`${s.path}: ${node.name?.text}`);
      }
    }
    expect(silent).toEqual([]);
  });
});

describe('kernels', () => {
  const kernels = shaders.filter(s => !s.path.startsWith('wgsl/lib/'));

  it('are WGSL and nothing else', () => {
    expect(shaders.filter(s => /#|\{\{|\$\{/.test(s.text)).map(s => s.path)).toEqual([]);
  });

  it.each(kernels.map(s => [s.path.slice(5), s] as const))(
    '%s says formula, bindings, dispatch, traffic, numerics, source and needs in its head',
    (_, { text }) => {
      const head = text.slice(0, text.search(/^(?!\/\/)/m));
      const lines = head.split('\n');
      const bindings = [...text.matchAll(/var<storage(?:, *\w+)?> *(\w+)/g)].map(m => m[1]);
      expect(head, 'a formula or what is computed in the first lines').toMatch(/^\/\/ [\w-]+: ?/);
      expect(lines.length).toBeGreaterThanOrEqual(5);
      for (const binding of bindings) expect(head, `binding '${binding}'`).toMatch(new RegExp(`\\b${binding}\\b`));
      expect(head, 'dispatch').toMatch(/tile|workgroup|dispatch/i);
      expect(head, 'traffic').toMatch(/Traffic/);
      expect(head, 'numerics').toMatch(/f32\.|Exact|exact|in f32|Numerics|rounding/);
      expect(head, 'source').toMatch(/https?:|Reference:|\bet al\.|& \w+ \d{4}/);
      expect(head, 'needs').toMatch(/Needs/);
    },
  );
});

/** Whether a kernel has this label, as a literal. */
function labelled(text: string, stem: string): boolean {
  return text.includes(`'${stem}'`);
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
}
