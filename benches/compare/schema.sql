-- The tables that both programs use, in the versions that Kamailio 5.6 asks for.

create table version (table_name varchar(32) not null primary key, table_version int unsigned not null default 0);

create table subscriber (
    id int unsigned not null auto_increment primary key,
    username varchar(64) not null default '',
    domain varchar(64) not null default '',
    password varchar(64) not null default '',
    ha1 varchar(128) not null default '',
    ha1b varchar(128) not null default '',
    unique key (username, domain),
    key (username)
);
insert into version values ('subscriber', 7);

create table location (
    id int unsigned not null auto_increment primary key,
    ruid varchar(64) not null default '',
    username varchar(64) not null default '',
    domain varchar(64),
    contact varchar(512) not null default '',
    received varchar(128),
    path varchar(512),
    expires datetime not null default '2030-05-28 21:32:15',
    q float(10,2) not null default 1.0,
    callid varchar(255) not null default 'Default-Call-ID',
    cseq int not null default 1,
    last_modified datetime not null default '2000-01-01 00:00:01',
    flags int not null default 0,
    cflags int not null default 0,
    user_agent varchar(255) not null default '',
    socket varchar(64),
    methods int,
    instance varchar(255),
    reg_id int not null default 0,
    server_id int not null default 0,
    connection_id int not null default 0,
    keepalive int not null default 0,
    `partition` int not null default 0,
    unique key (ruid),
    key (username, domain, contact),
    key (expires),
    key (connection_id),
    key (server_id, connection_id)
);
insert into version values ('location', 9);
