"""Agents: trained by Stable-Baselines3 in worlds made of videos, and compared with simple ones that were not.

    train(TrainConfig(...))          worlds -> a run's folder: checkpoints, a log, the best policy
    evaluate(EvaluateConfig(...))    a policy and simple agents from the same start states -> a table and a verdict
    demo(DemoConfig(...))            video -> scene -> training -> comparison -> film and page

to be told      config        what each command can be told; which seeds are for training, validation, evaluation
                recipes       the numbers of each algorithm, and why
to train        train         one run, from its folder to its end or to `--resume`
                algorithms    SB3's algorithms, made from recipes
                features      what looks at an observation
                matching      ... and compares it with the picture of a goal
                odometry      how that is learned, from the agent's own motion
                actor_critic  the same, with actor and critic, in plain torch: for trainers other than SB3
                rllib         ... as RLlib wants it
                torchrl       ... as TorchRL wants it
                devices       where a network computes
                watch         validation, checkpoints and the end, beside the learning
                checkpoint    all that a training needs to go on, in one file
                log           TensorBoard, and the same as lines of JSON
                policy        a trained policy in one file that is safe to open
                spaces        the spaces that such a file names, as JSON
to compare      evaluate      all agents from the same start states: table, verdict, intervals
                episodes      whole episodes from chosen start states
                baselines     agents that were never trained
                oracle        one that is told the way
                servo         one that compares what it sees with a picture of its goal
                zoo           small trained policies that come with the package
                statistics    bootstrap intervals
to show         demo          the whole path in one command
                film          agents side by side
                report        the learning curve, and the page that says what came of it
                progress      a bar, or a line now and then

Simple agents are compared with what the core installs; whatever holds a network or a picture needs the extra `agents`.
"""
