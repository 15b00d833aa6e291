/** The packed package, installed into an empty project and compiled against by strict programs, as its users will. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Installed, installTarball, ROOT } from '../support/tarball.ts';

type Compiler = typeof ts;
interface Project {
  readonly files: readonly string[];
  readonly options: Readonly<Record<string, unknown>>;
}

const STRICT = {
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  verbatimModuleSyntax: true,
  skipLibCheck: false,
  noEmit: true,
  target: 'es2022',
};
const RESOLUTIONS = {
  node16: { module: 'node16', moduleResolution: 'node16' },
  nodenext: { module: 'nodenext', moduleResolution: 'nodenext' },
  bundler: { module: 'esnext', moduleResolution: 'bundler' },
};
const PAGE = ['es2022', 'dom', 'dom.iterable'];
/** What a program may know of its platform, and which of its files then compile. */
const PLATFORMS = {
  'nothing but ECMAScript': { lib: ['es2022'], types: [], files: ['every-entry.ts'] },
  "the DOM's types": { lib: PAGE, types: [], files: ['every-entry.ts', 'page.ts'] },
  "Node's types": { lib: ['es2022'], types: ['node'], files: ['every-entry.ts', 'node.ts'] },
};

/** TypeScript 7 takes every project every day; the older ones, which need most of a minute for it, those where least and most is known. */
const DAILY = /^(node16, with nothing but ECMAScript|bundler, with the DOM's, Node's and WebGPU's types)$/;
const FULL = process.env['PENTIMENTO_FULL'] !== undefined;

let installed: Installed;
beforeAll(() => {
  installed = installTarball();
  cpSync(join(ROOT, 'test/package/consumer'), installed.project, { recursive: true });
  writeFileSync(join(installed.project, 'package.json'), JSON.stringify({ type: 'module', dependencies: {} }));
  for (const name of ['@types/node', 'undici-types', '@webgpu/types']) {
    mkdirSync(join(installed.project, 'node_modules', name, '..'), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', name), join(installed.project, 'node_modules', name));
  }
});
afterAll(() => installed?.remove());

/** All projects of one TypeScript: every resolution on every platform, and WebGPU's types where it has none itself. */
function projects(webgpu: 'in the DOM' | 'in a package'): [string, Project][] {
  const all = Object.entries(PLATFORMS).flatMap(([platform, { files, lib, types }]) =>
    Object.entries(RESOLUTIONS).map(([name, resolution]): [string, Project] => [
      `${name}, with ${platform}`,
      {
        files: webgpu === 'in the DOM' && lib === PAGE ? [...files, 'webgpu.ts'] : files,
        options: { ...STRICT, ...resolution, lib, types },
      },
    ]),
  );
  const both = { files: ['every-entry.ts', 'page.ts', 'node.ts'], types: ['node'] };
  const known = webgpu === 'in the DOM' ? [] : ['@webgpu/types'];
  const files = [...both.files, 'webgpu.ts'];
  const options = { ...STRICT, ...RESOLUTIONS.bundler, lib: PAGE, types: [...both.types, ...known] };
  return [...all, ["bundler, with the DOM's, Node's and WebGPU's types", { files, options }]];
}

/** Parsed files by name, for all programs of one compiler: the DOM's library is 2 MB of text. */
function sharedHost(compiler: Compiler): (options: ts.CompilerOptions) => ts.CompilerHost {
  const parsed = new Map<string, ts.SourceFile | undefined>();
  return options => {
    const host = compiler.createCompilerHost(options);
    const read = host.getSourceFile.bind(host);
    return {
      ...host,
      getSourceFile(name, version, ...rest) {
        const format = typeof version === 'object' ? version.impliedNodeFormat : undefined;
        const key = `${name} ${format}`;
        if (!parsed.has(key)) parsed.set(key, read(name, version, ...rest));
        return parsed.get(key);
      },
    };
  };
}

function compile(compiler: Compiler, host: ReturnType<typeof sharedHost>, { files, options }: Project): ts.Program {
  const { options: parsed, errors } = compiler.convertCompilerOptionsFromJson(options, installed.project);
  expect(errors).toEqual([]);
  const roots = files.map(file => join(installed.project, file));
  // The program looks for types from here.
  parsed.configFilePath = join(installed.project, 'tsconfig.json');
  return compiler.createProgram({ rootNames: roots, options: parsed, host: host(parsed) });
}

/**
 * What the compiler says about the program and the package. TypeScript's own library and Node's types are theirs to check, and
 * a clash of ours with them is reported on both sides; they take most of the time. TypeScript 7 below checks all.
 */
function complaints(compiler: Compiler, program: ts.Program): string[] {
  const ours = program
    .getSourceFiles()
    .filter(file => !/node_modules\/(typescript|@types|undici-types)/.test(file.fileName));
  const found = [
    ...program.getOptionsDiagnostics(),
    ...ours.flatMap(file => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]),
    ...program.getGlobalDiagnostics(),
  ];
  return found.map(d => {
    const where = d.file ? `${d.file.fileName.replace(installed.project, '')}: ` : '';
    return `${where}TS${d.code} ${compiler.flattenDiagnosticMessageText(d.messageText, ' ')}`;
  });
}

describe.each([
  ['5.7', 'typescript-5.7', 'in a package'],
  ['5.9', 'typescript', 'in a package'],
  ['6', 'typescript-6', 'in the DOM'],
] as const)('a strict program of every entry, TypeScript %s', (version, name, webgpu) => {
  let compiler: Compiler;
  let host: ReturnType<typeof sharedHost>;
  beforeAll(async () => {
    compiler = (await import(name)).default;
    host = sharedHost(compiler);
  });

  it(`is compiled by it`, () => {
    expect(compiler.version.startsWith(`${version}.`)).toBe(true);
  });

  it.each(projects(webgpu).filter(([project]) => FULL || DAILY.test(project)))('compiles: %s', (_, project) => {
    expect(complaints(compiler, compile(compiler, host, project))).toEqual([]);
  });

  it('compiles where exports are not read (node10)', () => {
    const silence = version === '6' ? { ignoreDeprecations: '6.0' } : {};
    const options = { ...STRICT, ...silence, module: 'esnext', moduleResolution: 'node10', lib: ['es2022'], types: [] };
    expect(complaints(compiler, compile(compiler, host, { files: ['every-entry.ts'], options }))).toEqual([]);
  });
});

describe('a strict program of every entry, TypeScript 7', () => {
  let tsc = '';
  beforeAll(async () => {
    tsc = (await import(join(ROOT, 'node_modules/typescript-7/lib/getExePath.js'))).default();
  });
  const run = (...args: string[]) => spawnSync(tsc, args, { cwd: installed.project, encoding: 'utf8' });

  it('is compiled by it', () => {
    expect(run('--version').stdout).toMatch(/^Version 7\./);
  });

  it.each(projects('in the DOM'))('compiles: %s', (_, { files, options }) => {
    writeFileSync(join(installed.project, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files }));
    const { stdout, stderr, status } = run('-p', '.');
    expect({ stdout, stderr, status }).toEqual({ stdout: '', stderr: '', status: 0 });
  });
});

describe('the declarations', () => {
  const ENTRIES = ['index', 'node', 'kernels', 'safetensors', 'schedulers', 'page', 'worker'];
  const home = () => join(installed.project, 'node_modules/pentimento/dist');

  it('name no package: a program needs nothing but TypeScript to read them', () => {
    const named = readdirSync(home(), { recursive: true, encoding: 'utf8' })
      .filter(name => name.endsWith('.d.ts'))
      .flatMap(name =>
        [
          ...readFileSync(join(home(), name), 'utf8').matchAll(
            /\bfrom "([^".][^"]*)"|import\("([^"]*)"|<reference .*/g,
          ),
        ].map(([text]) => `${name}: ${text}`),
      );
    expect(named).toEqual([]);
  });

  it('and the modules of an entry have the same values', async () => {
    const compiler: Compiler = (await import('typescript')).default;
    const files = ENTRIES.map(entry => join('node_modules/pentimento/dist', `${entry}.d.ts`));
    const options = { ...STRICT, ...RESOLUTIONS.bundler, lib: ['es2022'], types: [] };
    const program = compile(compiler, sharedHost(compiler), { files, options });
    const checker = program.getTypeChecker();
    for (const entry of ENTRIES) {
      const source = program.getSourceFile(join(home(), `${entry}.d.ts`));
      const symbol = source && checker.getSymbolAtLocation(source);
      const declared = symbol ? checker.getExportsOfModule(symbol) : [];
      const target = (s: ts.Symbol) => (s.flags & compiler.SymbolFlags.Alias ? checker.getAliasedSymbol(s) : s);
      const values = declared.filter(s => target(s).flags & compiler.SymbolFlags.Value).map(s => s.name);
      const made = Object.keys(await import(/* @vite-ignore */ join(home(), `${entry}.js`)));
      expect(values.sort(), entry).toEqual(made.sort());
    }
  });

  it('mean one thing by a name, whichever entry it comes from', async () => {
    const meanings = new Map<string, unknown>();
    for (const entry of ENTRIES)
      for (const [name, value] of Object.entries(await import(/* @vite-ignore */ join(home(), `${entry}.js`)))) {
        expect(meanings.get(name) ?? value, `${name} of ${entry}`).toBe(value);
        meanings.set(name, value);
      }
    expect(meanings.size).toBeGreaterThan(100);
  });
});
