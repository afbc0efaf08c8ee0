import type { Command } from 'commander'
import packageJson from '../../package.json' with { type: 'json' }
import { examples } from './shared.ts'

/** `signalbox init` */
export function register(program: Command): void {
  const command = program
    .command('init')
    .description('write a new project: a channel, a service and its test; nothing is overwritten')
    .argument('<name>', 'folder to make; its last part is the name of the project')
    .action(async (folder: string) => {
      const { initProject } = await import('../init/init.ts')
      const files = await initProject(folder, packageJson.version)
      console.log(files.map(file => `wrote ${folder}/${file}`).join('\n'))
      console.log(`\nNext:\n  cd ${folder}\n  npm install\n  npm test\n  npm start`)
    })
  examples(command, 'signalbox init my-bus')
}
