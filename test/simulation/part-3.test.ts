import { simulatePart } from './seeds.ts'

simulatePart(3, 'test/simulation/part-1.test.ts')
